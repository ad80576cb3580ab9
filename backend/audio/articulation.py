"""What the mouth does in speech: a few articulators, and the face channels that they drive.

The network predicts articulators, because a closure is one gesture: how far the lips are brought together (closure) is
kept apart from how far the jaw is open, and only here do both become mouthClose, lowered lips and pressed lips.
"""

from __future__ import annotations

import numpy as np

from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_CHANNELS

# 0 at rest, 1 at full activation of the channel of that name; closure and labiodental are 1 when the lips seal and
# when the lower lip lies at the upper teeth.
ARTICULATORS = (
    "jaw", "lower_lip", "upper_lip", "pucker", "funnel", "stretch", "smile", "dimple", "tongue_tip", "tongue_teeth",
    "tongue_back", "closure", "labiodental",
)  # fmt: skip
ARTICULATOR_INDEX = {name: index for index, name in enumerate(ARTICULATORS)}

CLOSED_JAW_SHARE = 0.95  # mouthClose that seals an open jaw, as a share of jawOpen
# Channel weight per unit of an articulator. Lips part more, and the jaw drops less, than phoneticians' jaw heights
# suggest; rounding is mostly pucker, since mouthFunnel opens the mouth that rounding narrows.
JAW_RANGE, LIP_RANGE = 0.90, 1.5
FUNNEL_TO_FUNNEL, FUNNEL_TO_PUCKER = 0.30, 0.50
# Drawing the lips forward draws them together: share of their parting and of the jaw that a full pucker takes.
PUCKER_NARROWS_LIPS, PUCKER_LIFTS_JAW = 1.0, 0.45
BITE_CLOSES = 0.7  # share of a seal that the lower lip at the teeth makes
PARTED = 0.6  # weight of what parts the lips that open lips never exceed
SEAL_PUCKER = 0.12  # pressed lips pull the corners in a little


def _put(weights: np.ndarray, channel: str, value: np.ndarray) -> None:
    """Sets a channel, or both of its sides."""
    for name in (channel, f"{channel}Left", f"{channel}Right"):
        if name in CHANNEL_INDEX:
            weights[:, CHANNEL_INDEX[name]] = value


def _press(weights: np.ndarray, sealed: np.ndarray, bite: np.ndarray) -> None:
    """Sets what presses the lips together at a seal, and what brings the lower lip to the teeth."""
    _put(weights, "mouthRollLower", 0.16 * sealed + 0.28 * bite)
    _put(weights, "mouthRollUpper", 0.10 * sealed)
    _put(weights, "mouthPress", 0.22 * sealed)
    _put(weights, "lowerLipToTeeth", bite)


def sealed_weights(weights: np.ndarray, articulators: np.ndarray) -> np.ndarray:
    """Channel weights (n_frames, 64) whose lips seal exactly as far as articulators (n_frames, 13) say.

    A regression hedges between shut and open lips; here what parts them gives way to the closure, and mouthClose takes
    up just what the jaw opens. All other movements stay.
    """
    values = np.clip(np.asarray(articulators, np.float32), 0.0, 1.0)
    sealed = values[:, ARTICULATOR_INDEX["closure"]]
    bite = values[:, ARTICULATOR_INDEX["labiodental"]] * (1.0 - sealed)
    closed = np.array(weights, np.float32)
    jaw = closed[:, CHANNEL_INDEX["jawOpen"]]
    _put(closed, "mouthClose", CLOSED_JAW_SHARE * jaw * np.maximum(sealed, BITE_CLOSES * bite))
    room = PARTED * (1.0 - sealed)
    for name, left in (("mouthLowerDown", room * (1.0 - bite)), ("mouthUpperUp", room), ("lipsPart", room),
                       ("mouthFunnel", room), ("mouthShrugUpper", room)):  # fmt: skip
        for channel in (name, f"{name}Left", f"{name}Right"):
            if channel in CHANNEL_INDEX:
                column = CHANNEL_INDEX[channel]
                closed[:, column] = np.minimum(closed[:, column], left)
    _press(closed, sealed, bite)
    return np.clip(closed, 0.0, 1.0)


def to_channels(articulators: np.ndarray) -> np.ndarray:
    """Channel weights (n_frames, 64) float32 in 0-1 for articulators (n_frames, 13).

    While the lips close, what parts them (lowered lower lip, raised upper lip, funnel) gives way, mouthClose takes up
    the jaw's opening, and press and roll make the seal; a rounded closure stays rounded through its pucker.
    """
    values = np.clip(np.asarray(articulators, np.float32), 0.0, 1.0)
    a = {name: values[:, index] for name, index in ARTICULATOR_INDEX.items()}
    sealed = a["closure"]
    bite = a["labiodental"] * (1.0 - sealed)
    parting = 1.0 - sealed
    weights = np.zeros((len(values), len(EXPRESSION_CHANNELS)), np.float32)
    narrowing = 1.0 - PUCKER_NARROWS_LIPS * a["pucker"]
    jaw = JAW_RANGE * a["jaw"] * (1.0 - PUCKER_LIFTS_JAW * a["pucker"]) * (1.0 - 0.2 * sealed) * (1.0 - 0.5 * bite)
    lower = LIP_RANGE * a["lower_lip"] * narrowing * parting * (1.0 - bite)
    upper = LIP_RANGE * a["upper_lip"] * narrowing * parting * (1.0 - 0.4 * bite) + 0.14 * bite
    _put(weights, "jawOpen", jaw)
    _put(weights, "mouthClose", CLOSED_JAW_SHARE * jaw * np.maximum(sealed, BITE_CLOSES * bite))
    _put(weights, "mouthFunnel", FUNNEL_TO_FUNNEL * a["funnel"] * parting * (1.0 - 0.7 * bite))
    _put(weights, "mouthPucker", a["pucker"] + FUNNEL_TO_PUCKER * a["funnel"] + SEAL_PUCKER * sealed)
    _put(weights, "mouthStretch", a["stretch"] * (1.0 - 0.9 * sealed))
    _put(weights, "mouthSmile", a["smile"])
    _put(weights, "mouthDimple", a["dimple"])
    _put(weights, "mouthLowerDown", lower)
    _put(weights, "mouthUpperUp", upper)
    _press(weights, sealed, bite)
    _put(weights, "mouthShrugLower", 0.06 * sealed + 0.08 * bite)
    _put(weights, "mouthShrugUpper", 0.25 * a["funnel"] * parting * (1.0 - bite))
    _put(weights, "lipsPart", np.clip(0.2 * (lower + upper), 0.0, 1.0))
    _put(weights, "tongueUp", a["tongue_tip"])
    _put(weights, "tongueToTeeth", a["tongue_teeth"])
    _put(weights, "tongueBack", a["tongue_back"])
    return np.clip(weights, 0.0, 1.0)
