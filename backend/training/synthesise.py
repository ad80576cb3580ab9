"""Makes the speech corpus: sentences by many voices with exact phone timings, kept as log-mels and labels.

Each shard depends on the seed and its number alone, so a stopped run goes on where it was. Voices are mostly those
built from recordings (flite, festival) and festvox-ru's own recordings; espeak-ng brings other languages. The
synthesised sentences are spoken with an emotion, which is kept beside the labels.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.features import log_mels
from ..audio.phones import PHONE_INDEX
from ..errors import InputError, OutputError
from . import engines
from .corpus import Clip, corpus_hash, shard_paths, write_shard
from .degrade import change_speed, degrade
from .prosody import CALM, Mood, draw_mood, spoken_with
from .sounds import wordless
from .texts import english_sentence, foreign_sentence

SHARD_SECONDS = 240.0
DEGRADED_SHARE = 0.35
# Voice and its share of the shards.
VOICE_SHARES = {
    "flite/slt": 0.16, "flite/rms": 0.18, "flite/awb": 0.18, "flite/kal16": 0.06, "festival/kal": 0.05,
    "festival/ked": 0.05, "festival/slt_hts": 0.09, "russian": 0.13, "espeak": 0.10,
}  # fmt: skip
WORDLESS, WORDLESS_SHARE = "wordless", 0.04  # sounds without speech, besides the hours asked for
NATURAL_PITCH = {"slt": 180.0, "rms": 100.0, "awb": 140.0, "kal16": 110.0, "kal": 110.0, "ked": 110.0, "slt_hts": 172.0}
# espeak-ng's voice and the catalogue's language.
ESPEAK_LANGUAGES = (
    ("en-us", "en"), ("en-gb", "en"), ("en-gb-scotland", "en"), ("de", "de"), ("fr-fr", "fr"), ("es", "es"),
    ("it", "it"), ("pt-br", "pt_BR"), ("pl", "pl"), ("cs", "cs"), ("tr", "tr"), ("nl", "nl"), ("sv", "sv"),
    ("ru", "ru"), ("hi", "hi"), ("id", "id"), ("cmn", "zh_CN"),
)  # fmt: skip
ESPEAK_VARIANTS = ("", "+f1", "+f2", "+f3", "+f4", "+m1", "+m2", "+m3", "+m4", "+m6", "+m7", "+Annie", "+klatt2")
Spoken = tuple[engines.Utterance, Mood]
HELD_OUT_EVERY = 4  # every fourth recording of festvox-ru is kept for evaluation


@dataclass(frozen=True)
class ShardPlan:
    """One shard to make."""

    number: int
    voice: str
    seed: int


def plan_shards(hours: float, seed: int) -> list[ShardPlan]:
    """Shards of about four minutes: so many hours of speech, each voice spread evenly by its share, then sounds."""
    n_shards = max(1, round(hours * 3600 / SHARD_SECONDS))
    given = dict.fromkeys(VOICE_SHARES, 0)
    plans = []
    for number in range(n_shards):
        voice = max(given, key=lambda v: VOICE_SHARES[v] * (number + 1) - given[v])
        given[voice] += 1
        plans.append(ShardPlan(number, voice, seed))
    n_wordless = round(WORDLESS_SHARE * n_shards)
    return plans + [ShardPlan(n_shards + index, WORDLESS, seed) for index in range(n_wordless)]


def held_out_russian() -> list[str]:
    """festvox-ru's recordings that are never trained on."""
    return engines.russian_names()[::HELD_OUT_EVERY]


def _delivery(voice: str, mood: Mood, rng: random.Random) -> engines.Delivery:
    """A random delivery of a mood by a voice."""
    return spoken_with(mood, NATURAL_PITCH.get(voice, 130.0), rng)


def _flite(voice: str, rng: random.Random) -> Iterator[Spoken]:
    while True:
        mood = draw_mood(rng)
        yield engines.speak_flite(english_sentence(rng), voice, _delivery(voice, mood, rng)), mood


def _festival(voice: str, rng: random.Random) -> Iterator[Spoken]:
    while True:
        mood = draw_mood(rng)
        sentences = [(english_sentence(rng), _delivery(voice, mood, rng)) for _ in range(12)]
        yield from ((utterance, mood) for utterance in engines.speak_festival(sentences, voice))


def _espeak(rng: random.Random) -> Iterator[Spoken]:
    with engines.EspeakProcess() as process:
        while True:
            voice, language = rng.choice(ESPEAK_LANGUAGES)
            text = english_sentence(rng) if language == "en" else foreign_sentence(language, rng)
            if text is None:
                continue
            mood = draw_mood(rng)
            try:
                yield process.speak(text, voice + rng.choice(ESPEAK_VARIANTS), _delivery("", mood, rng)), mood
            except ValueError:
                continue


def _russian(rng: random.Random) -> Iterator[Spoken]:
    held_out = set(held_out_russian())
    names = [name for name in engines.russian_names() if name not in held_out]
    while True:
        yield engines.read_russian(rng.choice(names)), CALM


def _wordless(rng: random.Random) -> Iterator[Spoken]:
    noise = np.random.default_rng(rng.getrandbits(32))
    while True:
        yield wordless(noise), CALM


def _utterances(plan: ShardPlan, rng: random.Random) -> Iterator[Spoken]:
    """Utterances without end for a shard's voice."""
    if plan.voice == WORDLESS:
        return _wordless(rng)
    engine, _, voice = plan.voice.partition("/")
    if engine == "flite":
        return _flite(voice, rng)
    if engine == "festival":
        return _festival(voice, rng)
    return _russian(rng) if engine == "russian" else _espeak(rng)


def to_clip(
    utterance: engines.Utterance, voice: str, mood: Mood, *, speed: float, rng: np.random.Generator | None
) -> Clip:
    """An utterance as features and labels, played at speed; degraded by rng where one is given."""
    samples = change_speed(utterance.samples, utterance.sample_rate, speed)
    if rng is not None:
        samples = degrade(samples, rng)
    labels = np.array([PHONE_INDEX[p] for p in utterance.phones], np.int8)
    phones = (utterance.ends / speed, labels, utterance.stress)
    return Clip(log_mels(samples), *phones, voice, emotion=mood.emotion, level=mood.level)


def make_shard(out_dir: Path, plan: ShardPlan) -> float:
    """Makes one shard and returns its length in seconds."""
    rng = random.Random(f"{plan.seed}/{plan.number}")
    noise = np.random.default_rng([plan.seed, plan.number])
    clips: list[Clip] = []
    seconds = 0.0
    source = _utterances(plan, rng)
    for utterance, mood in source:
        speed = float(np.clip(np.exp(rng.gauss(0.0, 0.09)), 0.82, 1.25))
        damage = noise if rng.random() < DEGRADED_SHARE else None
        if len(utterance.samples) < 0.4 * utterance.sample_rate:
            continue
        clips.append(to_clip(utterance, plan.voice, mood, speed=speed, rng=damage))
        seconds += clips[-1].duration
        if seconds >= SHARD_SECONDS:
            break
    source.close()
    write_shard(out_dir / f"shard_{plan.number:05d}.npz", clips)
    return seconds


def synthesise(
    out_dir: Path,
    *,
    hours: float = 8.0,
    seed: int = 0,
    jobs: int = 1,
    without: Collection[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> dict:
    """Makes, or goes on making, a corpus of so many hours in out_dir and returns its description (also corpus.json).

    without: voices whose shares of the hours are left out, to be measured with later. progress(done, total) is called
    after each shard. Raises InputError for an unknown voice, OutputError where the folder cannot be written.
    """
    for voice in without:
        if voice not in VOICE_SHARES:
            raise InputError(f"There is no voice '{voice}' to leave out; the voices are {', '.join(VOICE_SHARES)}.")
    out_dir = Path(out_dir)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot make the corpus folder {out_dir}: {error.strerror}.") from error
    plans = [plan for plan in plan_shards(hours, seed) if plan.voice not in without]
    there = {path.name for path in shard_paths(out_dir)}
    wanted = [plan for plan in plans if f"shard_{plan.number:05d}.npz" not in there]
    done = len(plans) - len(wanted)
    with ProcessPoolExecutor(max_workers=max(1, jobs)) as pool:
        for _ in pool.map(make_shard, [out_dir] * len(wanted), wanted):
            done += 1
            if progress is not None:
                progress(done, len(plans))
    left_out = "".join(f" --without {voice}" for voice in without)
    description = {
        "command": f"emorig train synthesise --hours {hours:g} --seed {seed}{left_out}",
        "hours": hours,
        "seed": seed,
        "shards": len(plans),
        "voices": {voice: share for voice, share in VOICE_SHARES.items() if voice not in without},
        "sha256": corpus_hash(out_dir),
    }
    temporary = out_dir / f"corpus.{os.getpid()}.part"
    temporary.write_text(json.dumps(description, indent=1))
    temporary.replace(out_dir / "corpus.json")
    return description
