"""Phones with times to articulator movements: the teacher of the speech network.

Dominance blending after Cohen and Massaro (1993, "Modeling coarticulation in synthetic visual speech"), with what it
lacks added:
- dominance grows with a phone's duration, and vowels open with the fourth root of theirs, so fast speech undershoots
  (Lindblom 1963);
- stress opens the jaw, its absence narrows it (de Jong 1995);
- rounding has a wide forward reach and little resistance from consonants that do not care (Henke's look-ahead, 1966);
- lip closures are gestures of their own, not targets to blend: they are reached whatever the rate, close more slowly
  than they open (Löfqvist and Gracco 1997), and hold while the sound's closure lasts;
- movements are smoothed by a filter without delay, and lead the sound slightly.
The target numbers are ours, set by eye on a head with ARKit's shapes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..audio.articulation import ARTICULATOR_INDEX, ARTICULATORS
from ..audio.phones import DIPHTHONGS, PHONES, SILENCE, VOWELS

MODEL_RATE = 200.0  # Hz, inner sampling
UNKNOWN_STRESS = -1
LEAST_DOMINANCE = 1e-9  # that every segment has everywhere
FAR = 36.0  # reaches after which a dominance is nothing beside that
BLEND_BLOCK = 100  # inner samples blended at once
# Articulators that share dominance and time constants: phone-independent forward and backward reach in seconds,
# smoothing (standard deviation, seconds), and lead over the sound in seconds.
GROUPS = {
    "jaw": (("jaw",), 0.060, 0.070, 0.026, 0.012),
    "lips": (("lower_lip", "upper_lip"), 0.050, 0.055, 0.022, 0.010),
    "rounding": (("pucker", "funnel"), 0.110, 0.075, 0.026, 0.000),
    "spread": (("stretch", "smile", "dimple"), 0.075, 0.075, 0.028, 0.000),
    "tongue": (("tongue_tip", "tongue_teeth", "tongue_back"), 0.030, 0.030, 0.012, 0.008),
}
GROUP_NAMES = tuple(GROUPS)
# jaw, lower lip, upper lip, pucker, funnel, stretch, smile, dimple, tongue tip, teeth, back
# and the dominance of jaw, lips, rounding, spread, tongue.
_TABLE = {
    "AA": ((.54, .32, .12, .00, .00, .13, .00, .00, .00, .00, .25), (1.0, .8, .4, .7, .4)),
    "AE": ((.46, .42, .22, .00, .00, .42, .10, .06, .00, .00, .00), (1.0, .9, .5, .9, .4)),
    "AH": ((.30, .26, .12, .00, .00, .17, .00, .00, .00, .00, .10), (.7, .6, .3, .5, .3)),
    "AO": ((.36, .18, .08, .26, .34, .00, .00, .00, .00, .00, .35), (1.0, .8, 1.1, .9, .4)),
    "EH": ((.34, .36, .18, .00, .00, .32, .08, .06, .00, .00, .00), (.9, .8, .5, .8, .4)),
    "ER": ((.20, .20, .14, .16, .24, .00, .00, .00, .25, .00, .20), (.7, .7, .8, .6, .6)),
    "IH": ((.21, .33, .16, .00, .00, .26, .07, .06, .10, .00, .00), (.7, .7, .4, .7, .4)),
    "IY": ((.14, .36, .18, .00, .00, .38, .20, .14, .20, .00, .00), (.8, .8, 1.1, 1.0, .5)),
    "UH": ((.22, .16, .08, .26, .20, .00, .00, .00, .00, .00, .35), (.7, .7, .9, .7, .4)),
    "UW": ((.13, .10, .05, .66, .26, .00, .00, .00, .00, .00, .45), (.8, .8, 1.3, 1.0, .4)),
    "UX": ((.13, .12, .08, .58, .30, .00, .00, .00, .20, .00, .00), (.8, .8, 1.3, 1.0, .4)),
    "Y": ((.11, .28, .14, .00, .00, .32, .12, .08, .35, .00, .00), (.5, .5, .4, .7, .6)),
    "W": ((.06, .04, .02, .76, .18, .00, .00, .00, .00, .00, .45), (1.0, 1.1, 1.5, 1.1, .4)),
    "R": ((.14, .16, .14, .18, .30, .00, .00, .00, .35, .00, .20), (.6, .6, .9, .6, .7)),
    "L": ((.21, .28, .12, .00, .00, .12, .00, .00, .85, .00, .00), (.5, .5, .15, .3, 1.0)),
    "DX": ((.18, .28, .12, .00, .00, .12, .00, .00, .80, .00, .00), (.4, .4, .15, .3, .9)),
    "T": ((.10, .30, .15, .00, .00, .14, .00, .00, .90, .00, .00), (.8, .5, .12, .3, 1.0)),
    "D": ((.11, .30, .14, .00, .00, .14, .00, .00, .90, .00, .00), (.7, .5, .12, .3, 1.0)),
    "N": ((.13, .28, .12, .00, .00, .12, .00, .00, .90, .00, .00), (.6, .5, .12, .3, 1.0)),
    "TH": ((.10, .30, .16, .00, .00, .12, .00, .00, .00, .95, .00), (.8, .7, .2, .4, 1.2)),
    "DH": ((.11, .28, .14, .00, .00, .12, .00, .00, .00, .90, .00), (.7, .6, .2, .3, 1.1)),
    "S": ((.05, .40, .20, .00, .00, .36, .08, .06, .55, .00, .00), (1.3, .9, .30, .8, 1.0)),
    "Z": ((.06, .38, .19, .00, .00, .35, .08, .06, .55, .00, .00), (1.2, .9, .30, .8, 1.0)),
    "SH": ((.07, .24, .24, .12, .46, .00, .00, .00, .45, .00, .00), (1.2, 1.0, 1.1, .8, 1.0)),
    "ZH": ((.08, .23, .22, .12, .42, .00, .00, .00, .45, .00, .00), (1.1, 1.0, 1.0, .8, 1.0)),
    "CH": ((.07, .24, .24, .12, .44, .00, .00, .00, .75, .00, .00), (1.2, 1.0, 1.1, .8, 1.0)),
    "JH": ((.08, .23, .22, .12, .42, .00, .00, .00, .75, .00, .00), (1.1, 1.0, 1.0, .8, 1.0)),
    "K": ((.17, .24, .12, .00, .00, .10, .00, .00, .00, .00, .90), (.5, .4, .10, .25, 1.0)),
    "G": ((.17, .24, .12, .00, .00, .10, .00, .00, .00, .00, .90), (.5, .4, .10, .25, 1.0)),
    "NG": ((.17, .24, .12, .00, .00, .10, .00, .00, .00, .00, .90), (.5, .4, .10, .25, 1.0)),
    "HH": ((.22, .24, .12, .00, .00, .10, .00, .00, .00, .00, .10), (.2, .2, .05, .1, .1)),
    "P": ((.08, .05, .02, .00, .00, .00, .00, .00, .00, .00, .00), (.9, .5, .15, .6, .1)),
    "B": ((.10, .05, .02, .00, .00, .00, .00, .00, .00, .00, .00), (.9, .5, .15, .6, .1)),
    "M": ((.10, .05, .02, .00, .00, .00, .00, .00, .00, .00, .00), (.9, .5, .15, .6, .1)),
    "F": ((.08, .05, .16, .00, .00, .04, .00, .00, .00, .00, .00), (1.1, .8, .2, .5, .1)),
    "V": ((.09, .05, .15, .00, .00, .03, .00, .00, .00, .00, .00), (1.1, .8, .2, .5, .1)),
    SILENCE: ((0.0,) * 11, (.55, .55, .45, .55, .55)),
}  # fmt: skip
# Pull of rest in each group: without it a lone rounded vowel would round a whole row of indifferent consonants.
REST_PULL = (0.0, 0.0, 0.28, 0.12, 0.10)
# Share of the phone for which the lips stay together, from its start; the rest is burst and breath.
CLOSURE_HOLD = {"P": 0.70, "B": 0.87, "M": 1.0}
BITE_HOLD = {"F": 0.92, "V": 0.90}
CLOSING, OPENING = 0.065, 0.045  # seconds a lip closure takes to form and to part
SHORTEST_HOLD = 0.045  # seconds
DURATION_SCALE = 0.055  # seconds after which a phone's dominance nears its full value
SILENCE_SCALE = 0.22  # the same of a pause: a short one does not close the mouth
TYPICAL_VOWEL = 0.11  # seconds, at which a vowel reaches its table's jaw
STRESSED_JAW, UNSTRESSED_JAW = 1.12, 0.84


@dataclass(frozen=True)
class Score:
    """Phones as articulatory segments: starts, ends (n,) s; targets (n, 11); dominances (n, 5)."""

    starts: np.ndarray
    ends: np.ndarray
    targets: np.ndarray
    dominances: np.ndarray
    is_silence: np.ndarray


def _segments(ends: np.ndarray, phones: list[str], stress: np.ndarray) -> Score:
    """Targets per phone with stress and rate in them; a diphthong is two segments."""
    rows = []
    start = 0.0
    for end, phone, stressed in zip(ends, phones, stress):
        parts = DIPHTHONGS.get(phone, (phone,))
        length = max(end - start, 1e-3)
        for index, part in enumerate(parts):
            target, dominance = (np.array(v) for v in _TABLE[part])
            if phone in VOWELS:
                rate = np.clip((length / len(parts) ** 0.5 / TYPICAL_VOWEL) ** 0.25, 0.65, 1.2)
                emphasis = {1: STRESSED_JAW, 0: UNSTRESSED_JAW}.get(int(stressed), 1.0)
                target = target * np.where(np.arange(11) == 0, rate * emphasis, np.sqrt(rate * emphasis))
            share = (0.55, 0.45)[index] if len(parts) == 2 else 1.0
            scale = SILENCE_SCALE if phone == SILENCE else DURATION_SCALE
            dominance = dominance * (1.0 - np.exp(-length * share / scale))
            rows.append((start, start + length * share, target, dominance, phone == SILENCE))
            start += length * share
        start = end
    columns = list(zip(*rows))
    return Score(*(np.array(column) for column in columns))


def _blend(score: Score, time: np.ndarray, group: int, reach: tuple[float, float]) -> np.ndarray:
    """Dominance-weighted targets of one group of articulators at time (n,) in order, (n, n_articulators).

    Block by block, each with the segments whose dominance reaches it; beyond FAR reaches it is as good as none.
    """
    length = score.ends - score.starts
    core_start = score.starts + 0.25 * length
    core_end = score.ends - 0.35 * length
    columns = [ARTICULATOR_INDEX[name] for name in GROUPS[GROUP_NAMES[group]][0]]
    everywhere = LEAST_DOMINANCE * score.targets[:, columns].sum(0)
    pull = REST_PULL[group] + LEAST_DOMINANCE * len(length)
    out = np.empty((len(time), len(columns)))
    for start in range(0, len(time), BLEND_BLOCK):
        moment = time[start : start + BLEND_BLOCK, None]
        first = np.searchsorted(core_end, moment[0, 0] - FAR * reach[1])
        last = np.searchsorted(core_start, moment[-1, 0] + FAR * reach[0], side="right")
        before = np.maximum(core_start[first:last] - moment, 0.0) / reach[0]
        after = np.maximum(moment - core_end[first:last], 0.0) / reach[1]
        dominance = score.dominances[first:last, group] * np.exp(-(before + after))
        blended = dominance @ score.targets[first:last, columns] + everywhere
        out[start : start + len(moment)] = blended / (dominance.sum(1, keepdims=True) + pull)
    return out


def _smooth(values: np.ndarray, deviation: float) -> np.ndarray:
    """Gaussian smoothing over time with the ends held."""
    radius = int(np.ceil(3 * deviation * MODEL_RATE))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / (deviation * MODEL_RATE)) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(values, ((radius, radius), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)


def _gesture(time: np.ndarray, starts: np.ndarray, ends: np.ndarray, room: np.ndarray) -> np.ndarray:
    """A gesture (n,) that is 1 from each start to its end, with a slow approach (at most room) and a quick release."""
    closing = np.minimum(CLOSING, np.maximum(room, 0.03))
    rise = np.clip((time[:, None] - (starts - closing)) / closing, 0.0, 1.0)
    fall = np.clip((ends + OPENING - time[:, None]) / OPENING, 0.0, 1.0)
    shape = np.minimum(rise, fall)
    shape = shape * shape * (3.0 - 2.0 * shape)
    return shape.max(1) if len(starts) else np.zeros(len(time))


def _closures(time: np.ndarray, ends: np.ndarray, phones: list[str], hold: dict[str, float]) -> np.ndarray:
    """The gesture of all phones that hold names, at time (n,)."""
    starts = np.concatenate([[0.0], ends[:-1]])
    picked = np.array([i for i, phone in enumerate(phones) if phone in hold], int)
    begin = starts[picked]
    share = np.array([hold[phones[i]] for i in picked])
    finish = begin + np.maximum(share * (ends[picked] - begin), SHORTEST_HOLD)
    room = np.where(picked > 0, 0.6 * (starts[picked] - starts[np.maximum(picked - 1, 0)]), CLOSING)
    return _gesture(time, begin, finish, room)


def articulate_phones(
    ends: np.ndarray, phones: list[str], stress: np.ndarray, *, frame_rate: float, n_frames: int
) -> np.ndarray:
    """Articulators (n_frames, 13) float32 at frame_rate Hz of phones: ends (n,) in seconds, stress (1, 0, -1 unknown).

    The first phone starts at 0 s; after the last one comes silence. Raises KeyError for an unknown phone.
    """
    unknown = set(phones) - set(PHONES)
    if unknown:
        raise KeyError(f"unknown phones {sorted(unknown)}")
    total = max(n_frames / frame_rate, float(ends[-1])) + 0.5
    ends = np.append(np.maximum.accumulate(ends), total)
    phones, stress = [*phones, SILENCE], np.append(stress, UNKNOWN_STRESS)
    score = _segments(ends, phones, stress)
    time = np.arange(int(total * MODEL_RATE)) / MODEL_RATE
    wanted = np.arange(n_frames) / frame_rate
    out = np.zeros((n_frames, len(ARTICULATORS)), np.float32)
    for group, (names, forward, backward, deviation, lead) in enumerate(GROUPS.values()):
        moved = _smooth(_blend(score, time, group, (forward, backward)), deviation)
        for column, name in enumerate(names):
            out[:, ARTICULATOR_INDEX[name]] = np.interp(wanted + lead, time, moved[:, column])
    out[:, ARTICULATOR_INDEX["closure"]] = np.interp(wanted, time, _closures(time, ends, phones, CLOSURE_HOLD))
    out[:, ARTICULATOR_INDEX["labiodental"]] = np.interp(wanted, time, _closures(time, ends, phones, BITE_HOLD))
    return out
