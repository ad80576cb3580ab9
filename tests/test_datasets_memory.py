"""Memory of training on data sets of many shards: it must not grow with their number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from recorded_clips import made_clip

from backend.datasets.shards import write_shard

ROOT = Path(__file__).resolve().parents[1]
N_CLIPS = 24  # of a shard
BYTES_PER_CLIP = 2048  # that a further clip may add: where it lies

DRAW = """
import resource, sys
from pathlib import Path
import numpy as np
from backend.datasets.access import PreparedData
from backend.training.recorded import rest_faces
data = PreparedData(Path(sys.argv[1]), "train", needs_sound=True, memory=32 << 20)
rests = rest_faces(data)
rng = np.random.default_rng(0)
for _ in range(600):
    data.whole_clip(int(rng.integers(len(data))))
print(len(data), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.soak
def test_memory_does_not_grow_with_the_shards(tmp_path):
    one = tmp_path / "shard.tar"
    write_shard(one, (made_clip(f"a_{n:03d}", "a", "happy", 3) for n in range(N_CLIPS)))
    measured = []
    for n_shards in (8, 32, 128):
        folder = tmp_path / str(n_shards)
        folder.mkdir()
        for number in range(n_shards):
            os.link(one, folder / f"train-{number:05d}.tar")
        (folder / "dataset.json").write_text(json.dumps({"frame_rate": 25.0}))
        said = subprocess.run(
            [sys.executable, "-c", DRAW, folder], check=True, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        ).stdout  # fmt: skip
        measured.append([int(value) for value in said.split()])
        print(f"{n_shards} shards, {measured[-1][0]} clips: {measured[-1][1] / 1024:.0f} MiB")
    (few, least), *_, (many, most) = measured
    assert (many, few) == (128 * N_CLIPS, 8 * N_CLIPS)
    assert (most - least) * 1024 < BYTES_PER_CLIP * (many - few) + (8 << 20)
