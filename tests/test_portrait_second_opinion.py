"""Where face-alignment's weights are, lids and lips are the mean of two detectors; else nothing changes."""

import numpy as np
import pytest
import skimage.data

from backend.errors import InputError
from backend.portrait import second_opinion
from backend.portrait.analysis import analyse_portrait
from backend.portrait.second_opinion import SHARED, weights_file, with_second_opinion
from bfm.landmarks import FACE_OVAL, LANDMARKS_68

LIPS = list(LANDMARKS_68[48:])
IMAGE = skimage.data.astronaut()


@pytest.fixture(scope="module")
def landmarks():
    return analyse_portrait(IMAGE).landmarks


class StandIn:
    """Sees the 68 points where they are given, and keeps the box that it was asked for."""

    def __init__(self, points):
        self.points = points

    def get_landmarks_from_image(self, image, detected_faces):
        self.box = detected_faces[0]
        return [self.points]


def seen_by(monkeypatch, tmp_path, points):
    stand_in = StandIn(points)
    monkeypatch.setattr(second_opinion, "weights_file", lambda: tmp_path)
    monkeypatch.setattr(second_opinion, "_network", lambda: stand_in)
    return stand_in


def test_without_weights_nothing_changes(monkeypatch, tmp_path, landmarks):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert weights_file() is None
    points, doubt = with_second_opinion(IMAGE, landmarks)
    assert points is landmarks and doubt is None


def test_lids_and_lips_are_the_mean_and_the_rest_follows(monkeypatch, tmp_path, landmarks):
    seen = landmarks[list(LANDMARKS_68), :2].copy()
    seen[:36] += 50.0  # brows, nose and jaw mean other places: they do not count
    seen[48:, 1] += 3.0
    stand_in = seen_by(monkeypatch, tmp_path, seen)
    points, doubt = with_second_opinion(IMAGE, landmarks)
    moved = points - landmarks
    assert doubt is None and not moved[:, 2].any()
    assert moved[LIPS, 1] == pytest.approx(1.5, abs=0.1)
    assert np.abs(moved[list(FACE_OVAL), :2]).max() < 0.1
    assert np.abs(moved[list(LANDMARKS_68[36:48]), :2]).max() < 0.1
    assert 0.1 < moved[199, 1] < 1.5, "the chin's skin lies between lips and outline"
    left, top, right, bottom = stand_in.box
    assert left < seen[SHARED, 0].min() and right > seen[SHARED, 0].max() and top < landmarks[9, 1] < bottom


def test_detectors_that_disagree_are_told(monkeypatch, tmp_path, landmarks):
    seen_by(monkeypatch, tmp_path, landmarks[list(LANDMARKS_68), :2] + 20.0)
    points, doubt = with_second_opinion(IMAGE, landmarks)
    assert points is landmarks and "differently" in doubt
    portrait = analyse_portrait(IMAGE)
    assert portrait.notices[0] == doubt
    np.testing.assert_array_equal(portrait.landmarks, landmarks)


def test_the_real_network_is_loaded_from_where_its_package_keeps_it(monkeypatch, tmp_path, landmarks):
    import torch
    from face_alignment.models import FAN

    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), folder / "2DFAN4-11f355bf06.pth.tar")
    second_opinion._network.cache_clear()
    points, doubt = with_second_opinion(IMAGE, landmarks)
    second_opinion._network.cache_clear()
    assert points is landmarks and "differently" in doubt, "weights that learned nothing agree with nobody"


def test_damaged_weights_are_one_sentence(monkeypatch, tmp_path, landmarks):
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (folder / "2DFAN4-11f355bf06.pth.tar").write_bytes(b"half a file")
    second_opinion._network.cache_clear()
    with pytest.raises(InputError, match="cannot be read: delete the file"):
        with_second_opinion(IMAGE, landmarks)
