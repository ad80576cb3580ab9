"""What the latest recordings gave is kept: the same again without hearing again, and never anything else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.inference.emospeaker import FaceSpeaker
from backend.inference.memory import NO_MEMORY, Memory
from backend.inference.speech import SpeechArticulator
from backend.pipeline import Shot, run_shot
from blender_addon.protocol.options import Script, ShotOptions
from blender_addon.protocol.types import EmotionTrack


def test_the_same_inputs_give_what_was_made_and_others_are_made_anew():
    memory, made = Memory(1 << 20), []

    def make():
        made.append(1)
        return np.full(4, len(made))

    values = np.arange(6.0)
    first = memory.recall(make, "a", values, 25.0)
    assert memory.recall(make, "a", values.copy(), 25.0) is first and len(made) == 1
    for other in (("b", values, 25.0), ("a", values + 1, 25.0), ("a", values.reshape(2, 3), 25.0),
                  ("a", values.astype(np.float32), 25.0), ("a", values, 25.5)):  # fmt: skip
        assert memory.recall(make, *other) is not first
    assert len(made) == 6


def test_none_is_a_result_too():
    made, memory = [], Memory(1000)
    for _again in range(2):
        assert memory.recall(lambda: made.append(1), "silence") is None
    assert len(made) == 1


def test_the_oldest_go_and_what_is_too_large_is_not_kept():
    memory = Memory(3000)
    for number in range(5):
        memory.recall(lambda: np.zeros(1000, np.uint8), number)
    assert memory.n_bytes == 3000
    assert memory.recall(lambda: "fresh", 0) == "fresh" and isinstance(memory.recall(lambda: "fresh", 4), np.ndarray)
    memory.recall(lambda: np.zeros(3001, np.uint8), "large")
    assert memory.n_bytes <= 3000 and memory.recall(lambda: "again", "large") == "again"


def test_without_room_nothing_is_kept():
    made = []
    for _again in range(2):
        NO_MEMORY.recall(lambda: made.append(1), "a")
    assert len(made) == 2 and NO_MEMORY.n_bytes == 0


class Curves:
    """A sink that keeps the curves."""

    def progress(self, *_):
        pass

    def notice(self, _text):
        pass

    def curves(self, curves):
        self.last = curves

    def cancelled(self):
        return False


@pytest.fixture
def counted(monkeypatch) -> list[str]:
    """What the networks were asked, in order."""
    asked: list[str] = []
    for cls, name in ((SpeechArticulator, "listen"), (FaceSpeaker, "_lips")):
        true = getattr(cls, name)

        def count(*arguments, true=true, name=name, **more):
            asked.append(name)
            return true(*arguments, **more)

        monkeypatch.setattr(cls, name, count)
    return asked


def performed(options: ShotOptions, sentence: Path, memory: Memory):
    sink, emotion = Curves(), EmotionTrack.parse("0:neutral:0,1:happy:0.8,3:angry:0.6")
    run_shot(Shot(None, sentence, emotion, options), sink, memory=memory)
    return sink.last


def test_seeds_and_phones_are_performed_from_memory_as_without_it(sentence, counted):
    """A seed asks no speech network; a moved phone asks only for its lips; both give what a fresh process gives."""
    memory, options = Memory(64 << 20), ShotOptions(frame_rate=25.0)
    first = performed(options, sentence, memory)
    phones = list(first.phones)
    middle = len(phones) // 2
    at = 0.5 * (phones[middle].start + phones[middle].end)
    phones[middle - 1], phones[middle] = replace(phones[middle - 1], end=at), replace(phones[middle], start=at)
    seeded, moved = replace(options, seed=7), replace(options, script=Script(phones=tuple(phones)))
    results = []
    for wanted, asks in ((options, []), (seeded, []), (moved, ["_lips"])):
        counted.clear()
        results.append(performed(wanted, sentence, memory))
        assert counted == asks, (wanted, counted)
    for wanted, got in zip((options, seeded, moved), results):
        fresh = performed(wanted, sentence, NO_MEMORY)
        assert fresh.phones == got.phones
        for name in ("weights", "head_rotation", "left_eye"):
            np.testing.assert_array_equal(getattr(got, name), getattr(fresh, name), err_msg=name)
    assert not np.array_equal(results[1].weights, first.weights)
    assert not np.array_equal(results[2].weights, first.weights)
