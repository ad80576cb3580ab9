"""Makes a fitted face keep what the eye watches: how far the lips are apart, and that both eyes look the same way.

The linear fit sees neither that mouthClose seals lips only as far as the jaw is open nor that lids and lips touch, so
the opening between the lips is found again on the real face: mouthClose takes away what is too much, lipsPart adds what
is too little.
"""

from __future__ import annotations

import numpy as np

from bfm.coefficients import CHANNEL_INDEX, FULL_ACTIVATION_SD
from bfm.landmarks import INNER_LIP_PAIRS, LEFT_LID_PAIRS, RIGHT_LID_PAIRS
from bfm.model import FaceModel

_HALVINGS = 9
_CHUNK = 256  # frames
_MIDDLE_PAIRS = INNER_LIP_PAIRS[1:-1]
_USUALLY_OPEN = 70.0
"""Percentile over the frames of an open eye's opening."""
_SHUT, _OPEN = 0.12, 0.9
"""Shares of the usual opening under which an eye is shut and over which it is not blinking at all."""
_ALIKE = 0.85
"""How much narrower than the other an eye may be by nature, as a share."""
_BLINKS = [CHANNEL_INDEX["eyeBlinkRight"], CHANNEL_INDEX["eyeBlinkLeft"]]
_JAW, _CLOSE, _PART = (CHANNEL_INDEX[name] for name in ("jawOpen", "mouthClose", "lipsPart"))


def lip_opening(points: np.ndarray) -> np.ndarray:
    """Mean distance (n_frames,) between the inner rims of the lips of landmarks (n_frames, 478, 3), in their unit."""
    upper, lower = np.array(_MIDDLE_PAIRS).T
    return np.linalg.norm(points[:, upper, :2] - points[:, lower, :2], axis=2).mean(1)


def with_lip_opening(model: FaceModel, identity: np.ndarray, expression: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Expression (n_frames, 64) sd whose lips are as far apart as wanted (n_frames,) dm, where the channels allow it.

    identity (80,) sd. The jaw stays; mouthClose and lipsPart are found by bisection.
    """
    fitted = np.array(expression, np.float32)

    def opening(close: np.ndarray, part: np.ndarray) -> np.ndarray:
        trial = fitted.copy()
        trial[:, _CLOSE], trial[:, _PART] = close, part
        return _by_parts(model, identity, trial, lip_opening)

    jaw, part = np.maximum(fitted[:, _JAW], 0.0), fitted[:, _PART].copy()
    still = np.zeros_like(jaw)
    # Lips that part more than wanted without the jaw have nothing for mouthClose to take back.
    too_wide = opening(still, part) > wanted
    part = np.where(too_wide, _bisected(lambda p: opening(jaw, p) > wanted, still, part), part)
    close = _bisected(lambda c: opening(c, part) < wanted, still, jaw)
    close = np.where(too_wide, close, 0.0)
    wider = _bisected(lambda p: opening(close, p) > wanted, part, np.full_like(part, FULL_ACTIVATION_SD))
    fitted[:, _CLOSE], fitted[:, _PART] = close, np.where(too_wide, part, wider)
    return fitted


def lid_openings(points: np.ndarray) -> np.ndarray:
    """Mean distance (n_frames, 2) between the lids of the right and left eye of landmarks (n_frames, 478, 3)."""
    sides = [np.array(pairs[1:-1]).T for pairs in (RIGHT_LID_PAIRS, LEFT_LID_PAIRS)]
    return np.stack(
        [np.linalg.norm(points[:, upper, :2] - points[:, lower, :2], axis=2).mean(1) for upper, lower in sides], axis=1
    )


def with_lid_openings(
    model: FaceModel, identity: np.ndarray, expression: np.ndarray, measured: np.ndarray
) -> np.ndarray:
    """Expression (n_frames, 64) sd whose eyeBlink shuts the eyes as far as the measured openings (n_frames, 2) say.

    They are taken relative to how far apart these eyes usually are for the fitted gaze and squint: narrow eyes
    are not half shut. Detectors leave a shut eye a little open: what is under _SHUT of the usual is shut.
    """
    fitted = np.array(expression, np.float32)

    def openings(blinks: np.ndarray) -> np.ndarray:
        trial = fitted.copy()
        trial[:, _BLINKS] = blinks
        return _by_parts(model, identity, trial, lid_openings)

    low = np.zeros_like(measured)
    unblinking = openings(low)
    share = measured / np.maximum(unblinking, 1e-3)
    usual = np.percentile(share, _USUALLY_OPEN, axis=0)
    # An eye that stays much narrower than the other is being narrowed.
    share = share / np.maximum(np.maximum(usual, _ALIKE * usual.max()), 1e-3)
    goal = unblinking * np.clip((share - _SHUT) / (_OPEN - _SHUT), 0.0, 1.0)
    shut = np.full_like(low, FULL_ACTIVATION_SD)
    fitted[:, _BLINKS] = _bisected(lambda blinks: openings(blinks) < goal - 1e-5, low, shut)
    return fitted


def _by_parts(model: FaceModel, identity: np.ndarray, expression: np.ndarray, measure) -> np.ndarray:
    """What measure says of the landmarks of every frame, a part of the frames at a time for memory."""
    parts = [expression[i : i + _CHUNK] for i in range(0, len(expression), _CHUNK)]
    return np.concatenate([measure(model.landmark_positions(identity, part)) for part in parts])


def _bisected(is_beyond, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The largest values (n_frames, …) between low and high that are not beyond; is_beyond rises with them."""
    low, high = low.astype(np.float64).copy(), high.astype(np.float64).copy()
    top = ~is_beyond(high)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        beyond = is_beyond(middle)
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return np.where(top, high, low)


def with_joint_gaze(expression: np.ndarray) -> np.ndarray:
    """Expression (n_frames, 64) sd whose eyes turn together: the mean of what each eye was fitted to do."""
    fitted = np.array(expression, np.float32)
    across, up = [], []
    for side, outward in (("Left", 1.0), ("Right", -1.0)):
        look = {way: fitted[:, CHANNEL_INDEX[f"eyeLook{way}{side}"]] for way in ("Out", "In", "Up", "Down")}
        across.append(outward * (look["Out"] - look["In"]))
        up.append(look["Up"] - look["Down"])
    to_left, upwards = np.mean(across, axis=0), np.mean(up, axis=0)
    for side, outward in (("Left", 1.0), ("Right", -1.0)):
        turned = {"Out": outward * to_left, "In": -outward * to_left, "Up": upwards, "Down": -upwards}
        for way, amount in turned.items():
            fitted[:, CHANNEL_INDEX[f"eyeLook{way}{side}"]] = np.clip(amount, 0.0, FULL_ACTIVATION_SD)
    return fitted
