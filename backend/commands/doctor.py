"""Says what is installed, which device and models there are, what is missing and how to get it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from backend.weights import NETWORKS

# Distribution → what the program needs it for.
PACKAGES = {
    "torch": "speech networks",
    "numpy": "arrays",
    "scipy": "fitting and filters",
    "numba": "rasteriser",
    "mediapipe": "face landmarks and person mask",
    "opencv-python": "images",
    "av": "sound and video files",
    "librosa": "speech features",
    "safetensors": "network weights",
    "trimesh": "mesh files",
    "pyrender": "previews of the face model",
    "face-alignment": "a second landmark detector",
    "scikit-image": "the demonstration's portrait",
    "pyzmq": "the backend's wire",
    "msgpack": "the backend's wire",
    "usd-core": "USD files",
    "pyarrow": "Parquet files",
    "h5py": "face models of 2017 and 2019",
    "c2pa-python": "signed manifests of videos",
    "cryptography": "certificates that sign them",
    "pocketsphinx": "the speech network's evidence, pronunciations",
    "pyyaml": "batches written as YAML",
}
GOOD, MISSING, OPTIONAL = "[green]ok[/]", "[red]missing[/]", "[yellow]optional[/]"


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked for, how it is, a detail, and whether the program can do without."""

    what: str
    state: str
    detail: str

    @property
    def fatal(self) -> bool:
        """Whether a shot cannot be rendered like this."""
        return self.state == MISSING


def report() -> int:
    """Prints the report; 0 where shots can be rendered, 1 where something that is needed is missing."""
    findings = [_python(), *_packages(), *_media(), *_landmark_models(), _acoustic_model(), *_networks(), _device()]
    findings += [
        _face_alignment(),
        _program("blender", "the add-on runs in it; https://www.blender.org or your package manager"),
    ]
    table = Table(box=None, pad_edge=False)
    for heading in ("", "state", "detail"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        table.add_row(finding.what, finding.state, finding.detail)
    console = Console(highlight=False)
    console.print(table)
    broken = [finding.what for finding in findings if finding.fatal]
    if broken:
        console.print(f"\nCannot render yet, for want of: {', '.join(broken)}.")
        return 1
    console.print("\nReady: portraits can be rendered and curves made on this machine.")
    return 0


def _python() -> Finding:
    version = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] <= (3, 12)
    detail = f"{version} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return Finding("Python", GOOD if fits else MISSING, detail if fits else f"{detail}: 3.11 or 3.12 is needed")


def _packages() -> list[Finding]:
    findings = []
    for name, purpose in PACKAGES.items():
        try:
            findings.append(Finding(name, GOOD, f"{importlib.metadata.version(name)} ({purpose})"))
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(name, MISSING, f"{purpose}: pip install {name}"))
    return findings


def _media() -> list[Finding]:
    """The encoders inside PyAV and the system libraries that OpenCV loads."""
    findings = []
    try:
        import av

        for codec, purpose in (("libx264", "H.264 video"), ("aac", "AAC sound")):
            try:
                av.Codec(codec, "w")
                findings.append(Finding(f"encoder {codec}", GOOD, purpose))
            except ValueError:
                findings.append(Finding(f"encoder {codec}", MISSING, f"{purpose}: pip install --upgrade av"))
        import cv2

        findings.append(Finding("OpenCV loads", GOOD, cv2.__version__))
    except ImportError as error:
        findings.append(Finding("system libraries", MISSING, f"{error}: apt-get install libgl1 libglib2.0-0"))
    return findings


def _acoustic_model() -> Finding:
    """pocketsphinx's English acoustic model, which the speech network's evidence comes from."""
    from backend.audio.sphinx_model import sphinx_model
    from backend.errors import InputError

    try:
        return Finding("acoustic model", GOOD, f"{len(sphinx_model().phones)} phones")
    except ImportError:
        return Finding("acoustic model", MISSING, 'pip install "pocketsphinx>=5.1,<6"')
    except InputError as error:
        return Finding("acoustic model", MISSING, str(error))


def _landmark_models() -> list[Finding]:
    """mediapipe carries its models up to 0.10.21; later ones do not."""
    try:
        from importlib.util import find_spec
        from pathlib import Path

        root = Path(find_spec("mediapipe").origin).parent / "modules"
    except (AttributeError, ImportError, ValueError):
        return [Finding("landmark models", MISSING, "pip install mediapipe==0.10.21")]
    findings = []
    for folder, file in (
        ("face_landmark", "face_landmark_with_attention.tflite"),
        ("face_detection", "face_detection_short_range.tflite"),
        ("selfie_segmentation", "selfie_segmentation.tflite"),
    ):
        there = (root / folder / file).is_file()
        findings.append(
            Finding(folder, GOOD if there else MISSING, file if there else "pip install mediapipe==0.10.21")
        )
    return findings


def _networks() -> list[Finding]:
    findings = []
    for network in NETWORKS.values():
        if network.path.is_file():
            detail = f"{network.file}, {network.path.stat().st_size / 1e6:.1f} MB: {network.predicts}"
            findings.append(Finding(f"network {network.name}", GOOD, detail))
        else:
            detail = f"{network.file} is not in the package: install again"
            findings.append(Finding(f"network {network.name}", MISSING, detail))
    return findings


def _device() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("device", MISSING, "pip install torch")
    if torch.cuda.is_available():
        return Finding("device", GOOD, f"CUDA: {torch.cuda.get_device_name(0)}")
    return Finding("device", GOOD, "CPU (no CUDA device; none is needed)")


def _face_alignment() -> Finding:
    from backend.portrait.second_opinion import weights_file

    found = weights_file()
    if found is not None:
        return Finding("face-alignment weights", GOOD, f"{found.name}: lids and lips of portraits are seen twice")
    detail = "not fetched; landmarks come from mediapipe alone. python -c 'import face_alignment as f; "
    return Finding(
        "face-alignment weights",
        OPTIONAL,
        detail + 'f.FaceAlignment(f.LandmarksType.TWO_D, device="cpu", '
        'face_detector="folder", compile=False)\' fetches',
    )


def _program(name: str, purpose: str) -> Finding:
    where = shutil.which(name)
    return Finding(name, GOOD, where) if where else Finding(name, OPTIONAL, f"not found: {purpose}")
