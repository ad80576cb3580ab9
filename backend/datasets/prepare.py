"""emorig prepare: a folder of clips to shards, in parallel; a stopped run goes on where it was.

What a shard holds depends on the clips' names, the split and the seed alone. A shard and its index (what was kept and
what was passed over, with the reason) appear together or not at all, so killing the run loses at most the shards that
were being made.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

from backend.datasets.card import write_card
from backend.datasets.layouts import ClipFile, Misnamed, find_clips
from backend.datasets.measuring import Measuring, UnusableClipError, prepare_clip
from backend.datasets.shards import write_shard
from backend.datasets.splits import DEFAULT_SPLITS, split_clips
from backend.errors import InputError, OutputError

CLIPS_PER_SHARD = 24
PLAN_FILE = "plan.json"
ATTEMPTS = 2  # at a shard whose process died; between them the clips that kill are found one by one


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
    return write_card(wanted.out, described, indexes, [(str(m.video.name), m.reason) for m in misnamed])


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


def make_shard(out: Path, plan: ShardPlan, settings: Measuring, killers: tuple[str, ...] = ()) -> None:
    """Makes one shard and its index, without the clips of the keys in killers, whose processes died.

    Raises OSError where they cannot be written.
    """
    from backend.native_logs import held_back

    index: dict[str, list] = {"split": plan.split, "kept": [], "skipped": []}

    def clips():
        for file in plan.clips:
            try:
                if file.key in killers:
                    raise UnusableClipError("its process died")
                with held_back():
                    clip = prepare_clip(file, plan.split, settings)
            except UnusableClipError as error:
                index["skipped"].append({"key": file.key, "video": file.video.name, "reason": str(error)})
                continue
            index["kept"].append(asdict(clip.label) | {"seconds": clip.duration})
            yield clip

    write_shard(out / f"{plan.name}.tar", clips())
    _write(_index_path(out, plan.name), json.dumps(index))


def _make_all(plans: list[ShardPlan], wanted: Preparation, ended: Callable[[ShardPlan, str | None], None]) -> None:
    """Makes the shards in wanted.jobs processes. A shard whose worker died is tried again, by itself."""
    waiting, retried = list(plans), []
    with _pool(max(1, wanted.jobs)) as pool:
        running: dict[Future, ShardPlan] = {}
        try:
            while waiting or running:
                while waiting and len(running) < 2 * max(1, wanted.jobs):
                    plan = waiting.pop(0)
                    running[pool.submit(make_shard, wanted.out, plan, wanted.settings)] = plan
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    plan = running.pop(future)
                    _settle(future, plan, ended)
        except BrokenProcessPool:
            retried = [plan, *running.values(), *waiting]
    for plan in retried:
        _make_alone(plan, wanted, ended)


def _settle(future: Future, plan: ShardPlan, ended: Callable[[ShardPlan, str | None], None]) -> None:
    """Tells how a shard ended; lets BrokenProcessPool pass."""
    try:
        future.result()
    except OSError as error:
        ended(plan, error.strerror or str(error))
    else:
        ended(plan, None)


def _make_alone(plan: ShardPlan, wanted: Preparation, ended: Callable[[ShardPlan, str | None], None]) -> None:
    """A shard in a process of its own; where that dies, too, without the clips that kill it."""
    killers: tuple[str, ...] = ()
    for _ in range(ATTEMPTS):
        with _pool(1) as pool:
            try:
                _settle(pool.submit(make_shard, wanted.out, plan, wanted.settings, killers), plan, ended)
                return
            except BrokenProcessPool:
                killers = tuple(clip.key for clip in plan.clips if not _survives(clip, plan, wanted))
    ended(plan, "its process died again and again")


def _survives(clip: ClipFile, plan: ShardPlan, wanted: Preparation) -> bool:
    """Whether a clip can be prepared without its process dying."""
    with _pool(1) as pool:
        try:
            pool.submit(_try_clip, clip, plan.split, wanted.settings).result()
        except BrokenProcessPool:
            return False
    return True


def _try_clip(clip: ClipFile, split: str, settings: Measuring) -> None:
    try:
        prepare_clip(clip, split, settings)
    except UnusableClipError:
        return


def _pool(jobs: int) -> ProcessPoolExecutor:
    """Processes that share nothing with this one: media and network libraries do not survive a fork."""
    return ProcessPoolExecutor(max_workers=jobs, mp_context=get_context("spawn"))
