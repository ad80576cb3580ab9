"""An independent head as a yardstick: ICT-FaceKit's neutral face and shapes at the 68 landmarks."""

from pathlib import Path

import numpy as np
import pytest

from bfm.coefficients import CHANNEL_INDEX, EXPRESSION_CHANNELS, FULL_ACTIVATION_SD
from bfm.landmarks import LANDMARKS_68
from bfm.sources.building.statistics import similarity_align
from bfm.sources.embedded import load_embedded_model

ICT = Path(__file__).resolve().parents[2] / "shared/ict_facekit/ict_facekit.npz"
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not ICT.exists(), reason="needs ../shared/ict_facekit/ict_facekit.npz"),
]


@pytest.fixture(scope="module")
def ict():
    stored = np.load(ICT)
    marks = stored["landmarks_68"]
    shapes = {str(n): e[marks].astype(float) * 10 for n, e in zip(stored["expression_names"], stored["expression"])}
    return stored["neutral"][marks].astype(float) * 10, shapes


def shape_of(name, shapes):
    """The yardstick's displacement (68, 3) mm for one of our channels, or None where it has none."""
    side = "_L" if name.endswith("Left") else "_R" if name.endswith("Right") else ""
    base = name.removesuffix("Left").removesuffix("Right") + side
    if name in shapes:
        return shapes[name]
    if base in shapes:
        return shapes[base]
    return shapes[f"{name}_L"] + shapes[f"{name}_R"] if f"{name}_L" in shapes else None


def test_neutral_face_is_near(ict):
    ours = load_embedded_model().landmark_mean[list(LANDMARKS_68)][17:] * 100
    aligned = similarity_align(ours.astype(float), ict[0][17:])
    assert np.linalg.norm(aligned - ict[0][17:], axis=1).mean() <= 4.0


def test_shapes_point_the_same_way(ict):
    model, cosines = load_embedded_model(), {}
    for name in EXPRESSION_CHANNELS:
        theirs = shape_of(name, ict[1])
        if theirs is not None:
            ours = model.landmark_expression[CHANNEL_INDEX[name], list(LANDMARKS_68)] * FULL_ACTIVATION_SD
            cosines[name] = float((ours * theirs).sum() / np.linalg.norm(ours) / np.linalg.norm(theirs))
    assert len(cosines) >= 51
    assert np.mean(list(cosines.values())) >= 0.8
    assert min(cosines.values()) >= 0.5, sorted(cosines.items(), key=lambda item: item[1])[:5]
