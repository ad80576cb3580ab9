"""Regenerates the embedded head: python -m bfm.sources.building [face_landmarks.npz].

With a file of measured faces (`faces` (n, 478, 3)) the shipped statistics are measured anew; without one, the head is
built from the statistics that are shipped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from bfm.sources.building.assemble import assemble, save
from bfm.sources.building.statistics import STATISTICS_FILE, load_statistics, measure, save_statistics
from bfm.sources.embedded import EMBEDDED_FILE


def main() -> None:
    """Build and write embedded.npz next to the module that loads it."""
    ask = argparse.ArgumentParser(prog="python -m bfm.sources.building", description=__doc__)
    ask.add_argument("faces", nargs="?", type=Path, help="npz with measured landmarks, to renew the statistics")
    faces = ask.parse_args().faces
    if faces is not None:
        save_statistics(measure(np.load(faces)["faces"]), STATISTICS_FILE)
    save(assemble(load_statistics(STATISTICS_FILE)), EMBEDDED_FILE)
    print(f"{EMBEDDED_FILE.name}: {EMBEDDED_FILE.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
