"""What is known of the speech: pronunciations, alignment, and phones that are moved."""

from __future__ import annotations

import json

import numpy as np
import pytest

from backend.audio.alignment import align
from backend.audio.articulation import ARTICULATOR_INDEX
from backend.audio.features import SAMPLE_RATE
from backend.audio.phones import PHONE_INDEX, PHONES
from backend.audio.pronunciation import Word, pronounce, split_words
from backend.commands.scripts import read_phones, read_script
from backend.errors import InputError
from backend.inference import script
from backend.inference.speech import Listening, SpeechArticulator
from blender_addon.protocol.options import Script, ShotOptions
from blender_addon.protocol.types import Phone, Waveform

RATE = 50.0
SAID = [("sil", 10), ("M", 6), ("AA", 10), ("P", 5), ("sil", 8), ("B", 5), ("IY", 12), ("sil", 9)]


def _probabilities(spans=SAID, certainty=0.7, seed=0):
    """Phone probabilities (n, 42) as of a network that is fairly sure of what is said."""
    labels = np.repeat([PHONE_INDEX[p] for p, _ in spans], [n for _, n in spans])
    noise = np.random.default_rng(seed).dirichlet(np.full(len(PHONES), 0.3), len(labels))
    sure = np.eye(len(PHONES))[labels]
    return (certainty * sure + (1 - certainty) * noise).astype(np.float32)


def _listening(spans=SAID):
    likely = _probabilities(spans)
    rng = np.random.default_rng(1)
    moves = rng.uniform(0.0, 0.6, (len(likely), len(ARTICULATOR_INDEX))).astype(np.float32)
    return Listening(moves, likely, np.full(len(likely), 0.7, np.float32), np.full(len(likely), 0.8, np.float32))


def _phones(spans=SAID):
    edges = np.concatenate([[0], np.cumsum([n for _, n in spans])]) / RATE
    return tuple(Phone(float(a), float(b), p) for a, b, (p, _) in zip(edges, edges[1:], spans))


def test_words_are_what_is_spoken():
    text = "1\n00:00:01,000 --> 00:00:02,500\n[laughs] Don’t stop — (music) <i>well-known</i> “Bob’s” 'thing'…\n"
    assert split_words(text) == ["don't", "stop", "well-known", "bob's", "thing"]
    assert split_words("  ... [noise] ") == []


def test_the_dictionary_knows_english_and_its_variants():
    read, known, bobs = pronounce(["read", "well-known", "bob's"])
    assert {("R", "EH", "D"), ("R", "IY", "D")} <= set(read.pronunciations)
    assert known.pronunciations[0][:1] == ("W",) and known.pronunciations[0][-1] == "N"
    assert bobs.pronunciations[0][-1] == "Z"


def test_unknown_words_are_spelled_by_espeak_or_stay_free(monkeypatch):
    monkeypatch.setattr("backend.audio.pronunciation.shutil.which", lambda name: None)
    (word,) = pronounce(["blorptangle"])
    assert word.pronunciations == ()
    with pytest.raises(InputError, match="needs the program espeak-ng"):
        pronounce(["hallo"], "de")


def test_the_text_is_found_where_it_is_said():
    words = [Word("map", (("M", "AA", "P"), ("M", "AE", "P"))), Word("bee", (("B", "IY"),))]
    aligned = align(words, _probabilities(), RATE, 65 / RATE)
    assert [p.label for p in aligned.phones] == [p for p, _ in SAID]
    for got, expected in zip(aligned.phones, _phones()):
        assert got.start == pytest.approx(expected.start, abs=0.025)
    assert aligned.phones[0].start == 0.0 and aligned.phones[-1].end == pytest.approx(65 / RATE)
    assert aligned.fit > -0.8


def test_an_unknown_word_takes_the_phones_that_are_heard():
    words = [Word("qzx", ()), Word("bee", (("B", "IY"),))]
    aligned = align(words, _probabilities(), RATE, 65 / RATE)
    assert [p.label for p in aligned.phones if p.label != "sil"] == ["M", "AA", "P", "B", "IY"]


def test_a_long_text_in_a_short_sound_is_refused_and_a_foreign_one_is_left_aside():
    words = [Word("bee", (("B", "IY"),))] * 60
    with pytest.raises(InputError, match="do not fit into"):
        align(words, _probabilities(), RATE, 65 / RATE)
    phones, notices = script.phones_of_text("Zoo shoes few chew", "en", _listening(), 65 / RATE)
    assert phones is None and "does not fit" in notices[-1]
    with pytest.raises(InputError, match="no words"):
        script.phones_of_text("[music]", "en", _listening(), 65 / RATE)


def test_a_beam_does_not_lose_the_best_path():
    spans = [(p, n) for _ in range(12) for p, n in SAID]
    words = [Word("map", (("M", "AA", "P"),)), Word("bee", (("B", "IY"),))] * 12
    n_frames = sum(n for _, n in spans)
    aligned = align(words, _probabilities(spans), RATE, n_frames / RATE)
    assert [p.label for p in aligned.phones if p.label != "sil"] == ["M", "AA", "P", "B", "IY"] * 12


def test_unchanged_phones_change_nothing_and_a_moved_one_only_its_neighbours():
    heard, before = _listening(), _phones()
    assert script.with_phones(heard, before, before) is heard
    after = list(before)
    after[3], after[4] = (
        Phone(before[3].start, before[3].end + 0.06, "P"),
        Phone(before[3].end + 0.06, *_rest(before[4])),
    )
    moved = script.with_phones(heard, before, tuple(after))
    change = np.abs(moved.articulators - heard.articulators).max(1)
    edge = round(before[3].end * RATE)
    assert change[edge : edge + 4].max() > 0.2
    assert change[-3:].max() < 0.02 and change[:2].max() < 0.05
    assert moved.phones[edge + 1].argmax() == PHONE_INDEX["P"]


def _rest(phone):
    return phone.end, phone.label


def test_a_new_closure_shuts_the_lips_and_a_removed_one_frees_them():
    heard, before = _listening([("sil", 20), ("AA", 60), ("sil", 20)]), _phones([("sil", 20), ("AA", 60), ("sil", 20)])
    closed = (*before[:1], Phone(0.4, 0.9, "AA"), Phone(0.9, 1.0, "B"), Phone(1.0, 1.6, "AA"), *before[2:])
    column = ARTICULATOR_INDEX["closure"]
    with_it = script.with_phones(heard, before, closed)
    assert with_it.articulators[46:49, column].min() > 0.95
    without = script.with_phones(with_it, closed, before)
    assert without.articulators[46:49, column].max() < 0.65
    text = script.with_text(heard, closed)
    assert text.articulators[47, column] > 0.8


def test_phones_are_checked_and_gaps_are_silence():
    kept = script.check_phones([Phone(0.1, 0.3, "aa1"), Phone(0.5, 0.7, "M"), Phone(5.0, 6.0, "B")], 1.0)
    assert [(p.label, p.start, p.end) for p in kept] == [
        ("sil", 0.0, 0.1), ("AA", 0.1, 0.3), ("sil", 0.3, 0.5), ("M", 0.5, 0.7), ("sil", 0.7, 1.0),
    ]  # fmt: skip
    for bad, words in (
        ([Phone(0.0, 0.1, "QQ")], "Unknown phone 'QQ'"),
        ([Phone(0.2, 0.2, "M")], "should last"),
        ([Phone(0.0, 0.5, "M"), Phone(0.3, 0.6, "B")], "before the one ahead"),
        ([Phone(0.0, float("nan"), "M")], "should last"),
    ):
        with pytest.raises(InputError, match=words):
            script.check_phones(bad, 1.0)


def test_files_of_phones_are_read(tmp_path):
    rows = [[0.0, 0.2, "sil"], [0.2, 0.3, "M"]]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "curves.json").write_text(json.dumps({"format": "emorig-curves", "phones": rows}))
    tier = 'class = "IntervalTier"\nname = "{}"\nxmin = 0\nxmax = 1\nintervals: size = 1\n'
    interval = 'intervals [1]:\nxmin = {}\nxmax = {}\ntext = "{}"\n'
    grid = 'File type = "ooTextFile"\nObject class = "TextGrid"\n' + tier.format("words") + interval.format(0, 1, "map")
    grid += tier.format("phones") + interval.format(0, 0.2, "") + interval.format(0.2, 0.3, "M")
    (tmp_path / "x.TextGrid").write_text(grid)
    for name in ("list.json", "curves.json", "x.TextGrid"):
        assert read_phones(tmp_path / name) == (Phone(0.0, 0.2, "sil"), Phone(0.2, 0.3, "M"))
    (tmp_path / "bad.json").write_text('{"a": 1}')
    for name, words in (("bad.json", "holds no phones"), ("none.json", "Cannot read the phones")):
        with pytest.raises(InputError, match=words):
            read_phones(tmp_path / name)
    (tmp_path / "text.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="Cannot read the transcript"):
        read_script(tmp_path / "text.txt")


def test_options_of_layers_and_scripts_are_checked():
    options = ShotOptions(muted=("brows",), strengths={"brows": 1.5}, seed=3, seeds={"blinks": 7})
    assert options.strength("brows") == 0.0 and options.seed_of("blinks") == 7 and options.seed_of("gaze") == 3
    for bad, words in (
        ({"muted": ("nose",)}, "Unknown layer 'nose'"),
        ({"seeds": {"lips": -1}}, "seed should be 0"),
        ({"hearing": "both"}, "Unknown hearing"),
        ({"hearing": "streaming", "script": Script("hello")}, "hears the sound alone"),
    ):
        with pytest.raises(InputError, match=words):
            ShotOptions(**bad)
    with pytest.raises(InputError, match="language"):
        Script("x", "e n")


@pytest.fixture(scope="module")
def spoken():
    from backend.training.degrade import change_speed
    from backend.training.engines import Delivery, speak_flite

    try:
        utterance = speak_flite("Please put the map above my big brown box.", "rms", Delivery(1.0, 100.0, 1.0))
    except OSError:
        pytest.skip("flite is not installed")
    samples = change_speed(utterance.samples, utterance.sample_rate, 1.0)
    return Waveform(np.clip(samples, -1, 1), SAMPLE_RATE), utterance


def test_a_transcript_finds_the_bilabials_of_a_sentence(spoken):
    sound, utterance = spoken
    articulator = SpeechArticulator()
    told = articulator.articulate(sound, 60.0, Script("Please put the map above my big brown box"))
    assert not told.notices
    starts = np.concatenate([[0.0], utterance.ends[:-1]])
    said = [a for a, p in zip(starts, utterance.phones) if p in {"P", "B", "M"}]
    found = [p.start for p in told.phones if p.label in {"P", "B", "M"}]
    assert len(found) == len(said)
    assert np.median(np.abs(np.array(found) - said)) < 0.025
    edited = articulator.articulate(sound, 60.0, Script(phones=articulator.articulate(sound, 60.0).phones))
    np.testing.assert_array_equal(edited.weights, articulator.articulate(sound, 60.0).weights)
