"""The training loop: exact resume, accumulation, processes together, precision, early stop, logs."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from small_disk import fill, small_disk
from torch import nn

from backend.errors import InputError, OutputError
from backend.training.run import run_training, write_weights
from backend.training.run_options import RunOptions, TrainingPlan, constant_rate, linear_decay

ROOT = Path(__file__).resolve().parents[1]
PLAN = TrainingPlan(steps=8, batch=4, learning_rate=0.05, warm_up=1, save_every=3)
OPTIONS = RunOptions(report_every=2, stored=torch.float32)

WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_training_run import OPTIONS, PLAN, make, losses_of
from backend.training.processes import joined
from backend.training.run import run_training
with joined("cpu") as processes:
    network = make(dropout=0.0)
    run_training(network, losses_of(network), Path(sys.argv[1]), plan=PLAN, metadata={}, options=OPTIONS,
                 processes=processes)
"""


def make(dropout: float = 0.3) -> nn.Module:
    """A network with everything that a resumed run could lose: dropout's random state, running means, counters."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 2))


def losses_of(network: nn.Module):
    def losses(number: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng(number)
        x = torch.from_numpy(rng.normal(size=(4, 3)).astype(np.float32))
        return {"square": (network(x) - x[:, :2]).square().mean(), "size": 0.01 * network(x).square().mean()}

    return losses


def _rows(weights: Path) -> list[list[str]]:
    with weights.with_suffix(".losses.csv").open(newline="") as file:
        return list(csv.reader(file))


class _KilledError(Exception):
    pass


def test_a_killed_run_ends_exactly_as_one_that_ran_through(tmp_path):
    def trained(name: str, *stops: int) -> Path:
        weights = tmp_path / f"{name}.safetensors"
        for stop in (*stops, None):
            network = nn.Sequential(make(), nn.BatchNorm1d(2))
            whole = losses_of(network)

            def losses(number: int, stop: int | None = stop, whole=whole):
                if number == stop:
                    raise _KilledError
                return whole(number)

            torch.manual_seed(11)
            if stop is None:
                run_training(network, losses, weights, plan=PLAN, metadata={}, options=OPTIONS)
            else:
                with pytest.raises(_KilledError):
                    run_training(network, losses, weights, plan=PLAN, metadata={}, options=OPTIONS)
        return weights

    through, killed = trained("through"), trained("killed", 5, 7)
    one, other = load_file(through), load_file(killed)
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert _rows(through) == _rows(killed) and [row[0] for row in _rows(killed)] == ["step", "2", "4", "6", "8"]


def test_a_full_disk_ends_a_run_in_one_sentence_and_it_goes_on_exactly(tmp_path):
    def train(weights: Path, stop: int | None = None) -> None:
        network = make()
        whole = losses_of(network)

        def losses(number: int):
            if number == stop:
                raise _KilledError
            return whole(number)

        torch.manual_seed(11)
        run_training(network, losses, weights, plan=PLAN, metadata={}, options=OPTIONS)

    train(tmp_path / "through.safetensors")
    with small_disk(tmp_path / "disk", 256) as disk:
        weights = disk / "w.safetensors"
        with pytest.raises(_KilledError):
            train(weights, stop=4)
        filler = fill(disk, but=0)
        for _ in range(2):
            with pytest.raises(OutputError, match=r"'w.safetensors' cannot be written.*make room.*last checkpoint"):
                train(weights)
        assert not list(disk.glob("*.part"))
        filler.unlink()
        train(weights)
        one, other = load_file(tmp_path / "through.safetensors"), load_file(weights)
        assert all(torch.equal(one[name], other[name]) for name in one)
        assert _rows(tmp_path / "through.safetensors") == _rows(weights)


def test_a_full_disk_leaves_no_half_weights(tmp_path):
    with small_disk(tmp_path / "disk", 256) as disk:
        fill(disk, but=8192)
        with pytest.raises(SafetensorError):
            write_weights(disk / "w.safetensors", {"w": torch.zeros(40_000)}, {})
        assert [path.name for path in disk.iterdir()] == ["filler"]


def test_two_processes_learn_what_one_does_that_accumulates(tmp_path):
    from dataclasses import replace

    alone, together = tmp_path / "alone.safetensors", tmp_path / "together.safetensors"
    network = make(dropout=0.0)
    run_training(network, losses_of(network), alone, plan=PLAN, metadata={}, options=replace(OPTIONS, accumulation=2))
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0", "--standalone",
         script, together, ROOT / "tests"],
        check=True, timeout=120, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    one, other = load_file(alone), load_file(together)
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-6)
    for left, right in zip(_rows(alone)[1:], _rows(together)[1:], strict=True):
        np.testing.assert_allclose(np.float64(left), np.float64(right), atol=2e-5)


def test_mixed_precision_computes_in_it_and_keeps_float32_weights(tmp_path):
    network, seen = make(), set()
    whole = losses_of(network)
    network[0].register_forward_hook(lambda _module, _inputs, output: seen.add(output.dtype))
    options = RunOptions(precision=torch.bfloat16, stored=torch.float32)
    run_training(network, whole, tmp_path / "w.safetensors", plan=PLAN, metadata={}, options=options)
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_a_run_stops_when_the_held_out_loss_no_longer_falls(tmp_path):
    network, told = make(), iter([3.0, 2.0, 2.5, 2.0, 1.0])
    options = RunOptions(held_out=lambda: next(told), patience=2)
    plan = TrainingPlan(steps=100, learning_rate=0.01, save_every=1)
    weights = tmp_path / "w.safetensors"
    run_training(network, losses_of(network), weights, plan=plan, metadata={}, options=options)
    assert torch.load(weights.with_suffix(".checkpoint.pt"), weights_only=True)["step"] == 4
    run_training(network, losses_of(network), weights, plan=plan, metadata={}, options=options)
    assert next(told) == 1.0, "a run that has ended stays ended"


def test_logs_hold_losses_and_samples(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    network, weights = make(), tmp_path / "w.safetensors"
    picture = np.full((4, 6, 3), 200, np.uint8)
    options = RunOptions(logs=True, report_every=2, sample=lambda: picture)
    run_training(network, losses_of(network), weights, plan=PLAN, metadata={}, options=options)
    events = EventAccumulator(str(weights.with_suffix(".board")))
    events.Reload()
    scalars = events.Scalars("loss/square")
    assert [event.step for event in scalars] == [2, 4, 6, 8]
    np.testing.assert_allclose([event.value for event in scalars], [float(r[1]) for r in _rows(weights)[1:]], atol=1e-5)
    assert np.array_equal(np.asarray(Image.open(weights.with_suffix(".samples") / "0000006.png")), picture)


def test_losses_that_are_no_numbers_end_the_run(tmp_path):
    network = make()
    with pytest.raises(InputError, match="not finite"):
        run_training(
            network, lambda _number: {"x": network(torch.ones(1, 3)).sum() * float("nan")}, tmp_path / "w.safetensors",
            plan=PLAN, metadata={},
        )  # fmt: skip


def test_a_checkpoint_of_other_sizes_is_refused(tmp_path):
    network, other = make(), nn.Linear(2, 2)
    weights = tmp_path / "w.safetensors"
    run_training(network, losses_of(network), weights, plan=PLAN, metadata={})
    with pytest.raises(InputError, match="other sizes"):
        run_training(other, losses_of(other), weights, plan=PLAN, metadata={})


def test_the_papers_schedules():
    plan = TrainingPlan(steps=101, learning_rate=2e-4)
    assert [linear_decay(plan, step) for step in (0, 50, 100, 500)] == pytest.approx([2e-4, 1.1e-4, 2e-5, 2e-5])
    assert constant_rate(plan, 0) == constant_rate(plan, 100) == 2e-4


@pytest.mark.parametrize("path", sorted((ROOT / "backend" / "shipped").glob("*.safetensors")), ids=lambda p: p.stem)
def test_every_shipped_network_names_the_command_seed_and_data_that_made_it(path):
    with safe_open(str(path), framework="pt") as file:
        facts = file.metadata()
    assert facts["command"].startswith(f"emorig train {path.stem} ") and f"--seed {facts['seed']}" in facts["command"]
    amount = facts["corpus_pairs"] if path.stem == "refiner" else facts["corpus_hours"]
    assert len(facts["corpus_sha256"]) == 64 and float(amount) > 0 and int(facts["step"]) > 0
