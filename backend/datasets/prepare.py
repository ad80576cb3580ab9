"""emorig prepare: a folder of clips to shards, in parallel; a stopped run goes on where it was.

What a shard holds depends on the clips' names, the split and the seed alone. A shard and its index (what was kept and
what was passed over, with the reason) appear together or not at all, so killing the run loses at most the shards that
were being made.
"""

from __future__ import annotations

import functools
import json
import os
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from backend.batch.workers import Outcome, WorkerProcesses
from backend.datasets.card import write_card
from backend.datasets.layouts import ClipFile, Misnamed, find_clips
from backend.datasets.measuring import Measuring, UnusableClipError, prepare_clip
from backend.datasets.shards import write_shard
from backend.datasets.splits import DEFAULT_SPLITS, split_clips
from backend.errors import InputError, OutputError
from backend.process_ids import is_alive

CLIPS_PER_SHARD = 24
PLAN_FILE = "plan.json"
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class ShardPlan:
    """One shard to make: its name without suffix, and its clips in order."""

    name: str
    clips: tuple[ClipFile, ...]
    split: str


@dataclass(frozen=True)
class Preparation:
    """What to prepare and how. jobs: processes."""

    source: Path
    layout: str
    out: Path
    split: str | None = None
    seed: int = 0
    jobs: int = 1
    settings: Measuring = field(default_factory=Measuring)
    clips_per_shard: int = CLIPS_PER_SHARD


def prepare(wanted: Preparation, *, progress: Callable[[int, int], None] | None = None) -> dict:
    """Makes, or goes on making, the shards and the data set's card, and returns the card's numbers.

    progress(done, total) counts clips. Raises InputError for a folder that does not fit the layout or was begun with
    other settings, OutputError where shards could not be written (what is done is kept).
    """
    found = find_clips(wanted.source, wanted.layout)
    clips = [clip for clip in found if isinstance(clip, ClipFile)]
    misnamed = [clip for clip in found if isinstance(clip, Misnamed)]
    if not clips:
        raise InputError(
            f"None of the {len(found)} videos follows the layout '{wanted.layout}': {misnamed[0].reason}, "
            f"got '{misnamed[0].video.relative_to(wanted.source)}'."
        )
    split_name = wanted.split or DEFAULT_SPLITS.get(wanted.layout, "speakers")
    plans = plan_shards(clips, split_clips(clips, split_name, seed=wanted.seed), wanted)
    _begin(wanted, split_name, plans)
    _clear_unfinished(wanted.out)
    done = sum(len(plan.clips) for plan in plans if _index_path(wanted.out, plan.name).is_file())
    total = sum(len(plan.clips) for plan in plans)
    if progress is not None:
        progress(done, total)
    failed: dict[str, str] = {}

    def ended(plan: ShardPlan, reason: str | None) -> None:
        nonlocal done
        done += len(plan.clips)
        if reason is not None:
            failed[plan.name] = reason
        if progress is not None:
            progress(done, total)

    _make_all([p for p in plans if not _index_path(wanted.out, p.name).is_file()], wanted, ended)
    if failed:
        name, reason = next(iter(failed.items()))
        raise OutputError(
            f"{len(failed)} of {len(plans)} shards could not be written ({name}: {reason}); what is done is kept, "
            "run the command again when there is room."
        )
    indexes = [json.loads(_index_path(wanted.out, plan.name).read_text(encoding="utf-8")) for plan in plans]
    described = {"layout": wanted.layout, "split": split_name, "seed": wanted.seed, **asdict(wanted.settings)}
    try:
        return write_card(wanted.out, described, indexes, [(str(m.video.name), m.reason) for m in misnamed])
    except OSError as error:
        raise OutputError(
            f"The card could not be written in '{wanted.out}' ({error.strerror}); the shards are kept, run the command "
            "again when there is room."
        ) from error


def plan_shards(clips: list[ClipFile], sides: dict[str, str | None], wanted: Preparation) -> list[ShardPlan]:
    """Shards of a few clips each, every split's clips shuffled by the seed so that each shard is varied."""
    plans = []
    for side in sorted({side for side in sides.values() if side is not None}):
        chosen = [clip for clip in clips if sides[clip.key] == side]
        random.Random(f"{wanted.seed}/{side}").shuffle(chosen)
        size = wanted.clips_per_shard
        for number, start in enumerate(range(0, len(chosen), size)):
            plans.append(ShardPlan(f"{side}-{number:05d}", tuple(chosen[start : start + size]), side))
    return plans


def _begin(wanted: Preparation, split_name: str, plans: list[ShardPlan]) -> None:
    """Notes what is made; raises InputError where the folder was begun with something else."""
    plan = {
        "layout": wanted.layout, "split": split_name, "seed": wanted.seed, "settings": asdict(wanted.settings),
        "shards": {p.name: [clip.key for clip in p.clips] for p in plans},
    }  # fmt: skip
    path = wanted.out / PLAN_FILE
    try:
        wanted.out.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            if json.loads(path.read_text(encoding="utf-8")) != plan:
                raise InputError(
                    f"'{wanted.out}' was begun with other clips or settings: choose another folder or delete it."
                )
            return
        _write(path, json.dumps(plan))
    except OSError as error:
        raise OutputError(f"Cannot write to the folder '{wanted.out}' ({error.strerror}): choose another.") from error


def _clear_unfinished(out: Path) -> None:
    """Removes what runs that were killed left half made, .NAME.PID.part of processes that are gone."""
    for part in out.glob(".*.part"):
        pid = part.suffixes[-2].removeprefix(".")
        if pid.isdigit() and not is_alive(int(pid)):
            part.unlink(missing_ok=True)


def _write(path: Path, text: str) -> None:
    """Writes a text under a temporary name, then renames."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _index_path(out: Path, name: str) -> Path:
    return out / f"{name}.json"


def make_shard(
    out: Path,
    plan: ShardPlan,
    settings: Measuring,
    killers: tuple[str, ...] = (),
    begun: Callable[[str], None] = lambda _key: None,
) -> None:
    """Makes one shard and its index, without the clips of the keys in killers, whose processes died; begun(key) names
    every clip before it is prepared.

    Raises OSError where they cannot be written.
    """
    from backend.native_logs import held_back

    index: dict[str, list] = {"split": plan.split, "kept": [], "skipped": []}

    def clips():
        for file in plan.clips:
            try:
                if file.key in killers:
                    raise UnusableClipError("its process died")
                begun(file.key)
                with held_back():
                    clip = prepare_clip(file, plan.split, settings)
            except UnusableClipError as error:
                index["skipped"].append({"key": file.key, "video": file.video.name, "reason": str(error)})
                continue
            index["kept"].append(asdict(clip.label) | {"seconds": clip.duration})
            yield clip

    write_shard(out / f"{plan.name}.tar", clips())
    _write(_index_path(out, plan.name), json.dumps(index))


@dataclass(frozen=True)
class _ShardJob:
    """A shard to make, without the clips of the keys in killers."""

    plan: ShardPlan
    killers: tuple[str, ...] = ()


def _do_shard(job: _ShardJob, *, out: Path, settings: Measuring, report: Callable[[str, int, int], None]) -> dict:
    """Makes a shard in a worker process; every clip is named before it is begun, so that a death has a culprit."""
    started, reason = time.monotonic(), ""
    try:
        make_shard(out, job.plan, settings, job.killers, begun=lambda key: report(key, 1, 1))
    except OSError as error:
        reason = error.strerror or str(error)
    return {"seconds": time.monotonic() - started, "reason": reason}


def _make_all(plans: list[ShardPlan], wanted: Preparation, ended: Callable[[ShardPlan, str | None], None]) -> None:
    """Makes the shards in wanted.jobs processes; where one dies its shard is made again without the clip that it was
    at.
    """
    maker = functools.partial(_do_shard, out=wanted.out, settings=wanted.settings)
    waiting, n_running = deque(_ShardJob(plan) for plan in plans), 0
    at: dict[str, str] = {}
    workers = WorkerProcesses(max(1, wanted.jobs), maker)
    try:
        while waiting or n_running:
            while waiting and workers.n_free:
                workers.submit(waiting.popleft())
                n_running += 1
            for event in workers.events(POLL_SECONDS):
                if not isinstance(event, Outcome):
                    at[event.worker] = event.stage
                    continue
                n_running -= 1
                culprit = at.pop(event.worker, None)
                if event.worker_died and culprit is not None:
                    waiting.appendleft(_ShardJob(event.job.plan, (*event.job.killers, culprit)))
                else:
                    ended(event.job.plan, event.reason or None)
    finally:
        workers.close()
