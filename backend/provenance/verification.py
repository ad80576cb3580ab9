"""Says what a video file tells of its origin: its manifest, its watermark and the settings beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from backend.errors import InputError
from backend.provenance.label import SHOT_ASSERTION, identity_text, video_type

SIDECAR = "settings.json"
MAX_SECONDS = 10.0  # of video that the watermark is read from
UNTRUSTED = "signingCredential.untrusted"


@dataclass(frozen=True)
class Manifest:
    """A C2PA manifest: whether the file is as signed, whether the signer is on a trust list, and what it says."""

    is_intact: bool
    is_trusted: bool
    signer: str
    program: str
    source_type: str
    watermark: str | None
    consent: str | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Watermarked:
    """A watermark that was read: its identity, and how many of its 72 bits had to be corrected."""

    identity: str
    n_corrected: int
    n_bits: int


@dataclass(frozen=True)
class Sidecar:
    """The settings beside a video: whether they are of exactly this file, its watermark, who marked it, consent."""

    path: str
    is_of_this_file: bool
    watermark: str | None
    marked_by: str | None
    consent: str | None


@dataclass(frozen=True)
class Verification:
    """All that was found; None for what is absent."""

    manifest: Manifest | None
    watermark: Watermarked | None
    sidecar: Sidecar | None

    @property
    def findings(self) -> tuple[str, ...]:
        """What contradicts, one sentence each; empty where the label is whole."""
        found = []
        if self.manifest is None and self.watermark is None:
            found.append("The video carries neither a manifest nor a watermark of EmoRig.")
        if self.manifest is not None and not self.manifest.is_intact:
            found.append("The file was changed after it was signed.")
        named = {
            "manifest": self.manifest and self.manifest.watermark,
            "sidecar": self.sidecar and self.sidecar.watermark,
        }
        for source, identity in named.items():
            if identity and self.watermark and identity != self.watermark.identity:
                found.append(f"The {source} names the watermark {identity}, the picture carries another one.")
        return tuple(found)


def verify(path: Path, *, trust: Path | None = None) -> Verification:
    """Reads everything that a video file tells of its origin. trust: PEM file of trusted roots. Raises InputError."""
    if not path.is_file():
        raise InputError(f"There is no video '{path}': give the path of a file.")
    anchors = None
    if trust is not None:
        try:
            anchors = trust.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"'{trust}' should be a PEM file of trusted root certificates.") from error
    return Verification(read_manifest(path, anchors=anchors), _read_watermark(path), _read_sidecar(path))


def read_manifest(path: Path, *, anchors: str | None = None) -> Manifest | None:
    """The active manifest of a file, or None where it has none. Raises InputError where it cannot be read."""
    import c2pa

    settings = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}}
    if anchors is not None:
        settings["trust"] = {"trust_anchors": anchors}
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(settings))
        with path.open("rb") as file, c2pa.Reader(video_type(path), file, context=context) as reader:
            document, state = json.loads(reader.json()), reader.get_validation_state()
    except c2pa.C2paError.ManifestNotFound:
        return None
    except c2pa.C2paError as error:
        raise InputError(f"'{path}' is no video that can be read: {error}.") from error
    return _manifest_of(document, state)


def _manifest_of(document: dict, state: str) -> Manifest:
    active = document["manifests"][document["active_manifest"]]
    assertions = {entry["label"]: entry["data"] for entry in active.get("assertions", ())}
    shot = assertions.get(SHOT_ASSERTION, {})
    actions = next((data for name, data in assertions.items() if name.startswith("c2pa.actions")), {})
    signature, generator = active.get("signature_info", {}), active.get("claim_generator_info", [{}])[0]
    codes = tuple(status["code"] for status in document.get("validation_status", ()))
    return Manifest(
        is_intact=state in ("Valid", "Trusted"),
        is_trusted=state == "Trusted",
        signer=f"{signature.get('common_name', 'unknown')} ({signature.get('issuer', 'unknown')})",
        program=f"{generator.get('name', 'unknown')} {generator.get('version', '')}".strip(),
        source_type=next((a.get("digitalSourceType", "") for a in actions.get("actions", ())), "").rpartition("/")[2],
        watermark=shot.get("watermark"),
        consent=shot.get("consent"),
        problems=tuple(code for code in codes if code != UNTRUSTED),
    )


def _read_watermark(path: Path) -> Watermarked | None:
    from backend.provenance.watermark import N_BITS, MarkNotFoundError, read_mark

    try:
        mark = read_mark(_lumas(path))
    except MarkNotFoundError:
        return None
    return Watermarked(identity_text(mark.identity), mark.n_corrected, N_BITS)


def _lumas(path: Path) -> Iterator[np.ndarray]:
    """The luma (H, W) uint8 of the first seconds of a video, frame by frame. Raises InputError."""
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"'{path}' holds no video.")
            for frame in container.decode(video=0):
                if frame.time is not None and frame.time > MAX_SECONDS:
                    return
                yield frame.to_ndarray(format="gray")
    except av.FFmpegError as error:
        raise InputError(f"'{path}' is no video that can be read.") from error


def _read_sidecar(path: Path) -> Sidecar | None:
    sidecar = path.with_name(SIDECAR)
    try:
        record = json.loads(sidecar.read_text(encoding="utf-8"))["provenance"]
        recorded = record.get("video") or {}
        return Sidecar(
            path=sidecar.name,
            is_of_this_file=recorded.get("sha256") == hashlib.sha256(path.read_bytes()).hexdigest(),
            watermark=record.get("watermark"),
            marked_by=record.get("marked_by"),
            consent=record.get("consent"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def report_verification(path: Path, *, trust: Path | None = None, as_json: bool = False) -> int:
    """Prints what a video tells of its origin; 0 where its label is whole, else 1."""
    result = verify(path, trust=trust)
    if as_json:
        print(json.dumps(asdict(result) | {"findings": result.findings}, indent=2))
    else:
        for line in _lines(result):
            print(line)
    return 1 if result.findings else 0


def _lines(result: Verification) -> Iterator[str]:
    manifest, mark, sidecar = result.manifest, result.watermark, result.sidecar
    if manifest is None:
        yield "manifest   none"
    else:
        trusted = "trusted" if manifest.is_trusted else "UNTRUSTED: no trust list vouches for this certificate"
        yield f"manifest   {'intact' if manifest.is_intact else 'BROKEN'}; {manifest.program}, {manifest.source_type}"
        yield f"signed by  {manifest.signer}, {trusted}"
        yield f"consent    {manifest.consent or 'nothing stated'}"
        if manifest.problems:
            yield f"problems   {', '.join(manifest.problems)}"
    if mark is None:
        yield "watermark  none that can be read"
    else:
        yield f"watermark  {mark.identity}, {mark.n_corrected} of {mark.n_bits} bits corrected"
    if sidecar is None:
        yield "sidecar    none"
    else:
        belongs = "of exactly this file" if sidecar.is_of_this_file else "of another version of this file"
        yield f"sidecar    {sidecar.path}, {belongs}; marked by {sidecar.marked_by or 'nobody'}"
    for finding in result.findings:
        yield f"NOTE       {finding}"
