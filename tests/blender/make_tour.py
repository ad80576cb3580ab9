"""Takes the screenshots of docs/blender.md: a real Blender on a virtual screen, driven by tour.py.

    python tests/blender/make_tour.py dist/emorig-0.1.0-legacy.zip docs/blender [--program .venv/bin/emorig] [--last 10]

--program: a backend to use instead of installing the zip's own, which takes some minutes.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SIZE = (1440, 1080)
SHOWN = 1190  # pixels from the left; the rest is editors that the tour does not use
QUALITY = 82  # of JPEG


def main() -> None:
    """Runs the tour and writes its pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zip", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--program", default="")
    parser.add_argument("--last", type=int, default=10, help="number of the last picture that is taken")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        code = run_tour(chosen.zip.resolve(), place, chosen.program, chosen.last)
        chosen.out.mkdir(parents=True, exist_ok=True)
        for path in sorted(place.glob("[0-9]*.png")):
            keep(path, chosen.out / f"{path.stem}.jpg")
    sys.exit(code)


def run_tour(archive: Path, place: Path, program: str, last: int) -> int:
    """Blender's exit code; its pictures are in the folder."""
    from skimage import data, io
    from skimage.transform import resize

    face = resize(data.astronaut()[0:330, 60:390], (720, 720), order=3, anti_aliasing=False)
    shutil.copyfile(HERE.parents[1] / "backend" / "media" / "sentence.flac", place / "sentence.flac")
    io.imsave(place / "astronaut.png", (face * 255).round().clip(0, 255).astype("uint8"))
    environment = os.environ | {
        "EMORIG_TOUR_ZIP": str(archive),
        "EMORIG_TOUR_FOLDER": str(place),
        "EMORIG_TOUR_PORTRAIT": str(place / "astronaut.png"),
        "EMORIG_TOUR_SPEECH": str(place / "sentence.flac"),
        "EMORIG_TOUR_PROGRAM": program,
        "EMORIG_TOUR_LAST": str(last),
        "EMORIG_STATE_DIR": str(place / "state"),
        "LIBGL_ALWAYS_SOFTWARE": "1",
        **{f"BLENDER_USER_{name}": str(place / name.lower()) for name in ("SCRIPTS", "CONFIG", "DATAFILES")},
    }
    width, height = SIZE
    screen = ["xvfb-run", "-a", "-s", f"-screen 0 {width}x{height}x24 -nolisten tcp"]
    flags = ["--factory-startup", "-noaudio", "--enable-event-simulate", "--window-geometry", "0", "0"]
    command = [*screen, "blender", *flags, str(width), str(height), "--python", str(HERE / "tour.py")]
    return subprocess.run(command, env=environment, cwd=place, timeout=3600).returncode


def keep(source: Path, out: Path) -> None:
    """Writes what is shown of a picture, small enough for a page."""
    from PIL import Image

    with Image.open(source) as image:
        shown = image.crop((0, 0, SHOWN, image.height)).convert("RGB")
        shown.save(out, quality=QUALITY, optimize=True, subsampling=0)


if __name__ == "__main__":
    main()
