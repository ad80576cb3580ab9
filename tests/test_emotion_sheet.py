"""The sheets for judges of emotion mix all portraits and emotions, and answers are counted right."""

import json

import cv2
import pytest

from backend.errors import InputError
from backend.evaluation.emotion_sheet import PER_SHEET, make_sheets, score
from blender_addon.protocol.types import EMOTIONS


def test_every_portrait_shows_every_emotion_in_one_mixed_order(astronaut, tmp_path):
    portraits = [tmp_path / "one.png", tmp_path / "two.png"]
    small = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)[..., ::-1]
    for path, picture in zip(portraits, (small, small[:, ::-1])):
        cv2.imwrite(str(path), picture)
    *sheets, document = make_sheets(portraits, tmp_path / "out", seed=3)
    pictures = json.loads(document.read_text())["pictures"]
    assert len(sheets) == 2 == len(pictures) // PER_SHEET
    assert all(path.is_file() for path in sheets)
    shown = {(p["portrait"], p["emotion"]) for p in pictures.values()}
    assert shown == {(path.name, emotion) for path in portraits for emotion in (*EMOTIONS, "neutral")}
    first = [pictures[str(number)] for number in range(1, PER_SHEET + 1)]
    assert len({p["portrait"] for p in first}) == 2, "a sheet with one portrait gives the last emotion away"
    assert len({p["emotion"] for p in first}) < PER_SHEET


def test_answers_are_scored_by_the_key(tmp_path):
    key, answers = tmp_path / "key.json", tmp_path / "answers.json"
    key.write_text(json.dumps({
        "choices": ["happy", "sad"],
        "pictures": {"1": {"emotion": "happy"}, "2": {"emotion": "sad"}, "3": {"emotion": "sad"}},
    }))  # fmt: skip
    answers.write_text(json.dumps({"1": "happy", "2": "happy", "3": "sad"}))
    right, matrix, labels = score(key, answers)
    assert right == pytest.approx(2 / 3)
    assert labels == ["happy", "sad"]
    assert matrix.tolist() == [[1, 0], [1, 1]]
    answers.write_text(json.dumps({"9": "happy"}))
    with pytest.raises(InputError, match="number of the sheet"):
        score(key, answers)
