"""The whole chain of preparing, training, rendering, evaluating and reporting, killed twice on the way."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared" / "media" / "clips"
N_CLIPS, N_STEPS = int(os.environ.get("EMORIG_CHAIN_CLIPS", "12")), int(os.environ.get("EMORIG_CHAIN_STEPS", "12"))


@pytest.mark.soak
def test_the_whole_chain_goes_on_after_kills(tmp_path):
    """12 clips and steps; EMORIG_CHAIN_CLIPS=200 EMORIG_CHAIN_STEPS=300 for the size of a laboratory's first try."""
    real = ["--real", REAL] if REAL.is_dir() else []
    subprocess.run(
        [sys.executable, ROOT / "tests" / "chain.py", "--out", tmp_path, "--clips", str(N_CLIPS), "--steps",
         str(N_STEPS), "--kill", *real],
        check=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    table = (tmp_path / "chain.md").read_text(encoding="utf-8")
    print(table)
    assert re.search(r"^\| all, .* \| 2 \|$", table, re.MULTILINE), "both kills took place"
    card = json.loads((tmp_path / "prepared" / "dataset.json").read_text(encoding="utf-8"))
    assert card["clips"] >= N_CLIPS and set(card["splits"]) == {"train", "test"}
    measured = json.loads((tmp_path / "selfdrive" / "selfdrive.json").read_text(encoding="utf-8"))
    assert "EmoSpeaker trained, without AU" in measured["methods"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "measured here" in page and "published" in page
    assert "| mean |" in (tmp_path / "video.md").read_text(encoding="utf-8")
