"""Speech with exact phone timings from the synthesisers of the machine, and from the recordings of festvox-ru."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import tempfile
import wave
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..audio.phones import SILENCE
from .phone_names import RUSSIAN, RUSSIAN_STRESSED, from_ipa, from_radio

RUSSIAN_VOICE = Path("/usr/share/festival/voices/russian/msu_ru_nsh_clunits")
FLITE_VOICES = {"awb": "cmu_us_awb", "rms": "cmu_us_rms", "slt": "cmu_us_slt", "kal16": "cmu_us_kal16"}
FESTIVAL_VOICES = {"kal": "voice_kal_diphone", "ked": "voice_ked_diphone", "slt_hts": "voice_cmu_us_slt_arctic_hts"}
UNKNOWN_STRESS = -1


@dataclass(frozen=True)
class Delivery:
    """How a sentence is said: durations times stretch, mean pitch in Hz, and pitch range times liveliness."""

    stretch: float
    pitch: float
    liveliness: float


@dataclass(frozen=True)
class Utterance:
    """Sound (n_samples,) float32 at sample_rate Hz; phones: ends in seconds, names, stress (1, 0, -1 unknown)."""

    samples: np.ndarray
    sample_rate: int
    ends: np.ndarray
    phones: tuple[str, ...]
    stress: np.ndarray


class _FliteWave(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_char_p),
        ("sample_rate", ctypes.c_int),
        ("num_samples", ctypes.c_int),
        ("num_channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


@lru_cache(maxsize=1)
def _flite() -> ctypes.CDLL:
    """The installed flite library with its signatures. Raises OSError where it is not installed."""
    for support in ("libflite_usenglish.so.1", "libflite_cmulex.so.1"):
        ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(support, mode=ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    signatures = {
        "new_utterance": (pointer, ()),
        "utt_set_input_text": (ctypes.c_int, (pointer, text)),
        "utt_init": (pointer, (pointer, pointer)),
        "utt_synth": (pointer, (pointer,)),
        "utt_wave": (ctypes.POINTER(_FliteWave), (pointer,)),
        "utt_relation": (pointer, (pointer, text)),
        "relation_head": (pointer, (pointer,)),
        "item_next": (pointer, (pointer,)),
        "item_feat_float": (ctypes.c_float, (pointer, text)),
        "item_feat_string": (text, (pointer, text)),
        "ffeature_string": (text, (pointer, text)),
        "feat_set_float": (None, (pointer, text, ctypes.c_float)),
        "delete_utterance": (None, (pointer,)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.flite_init()
    return library


@lru_cache(maxsize=8)
def _flite_voice(voice: str) -> int:
    """Pointer to a registered flite voice."""
    library = ctypes.CDLL(f"libflite_{FLITE_VOICES[voice]}.so.1", mode=ctypes.RTLD_GLOBAL)
    register = getattr(library, f"register_{FLITE_VOICES[voice]}")
    register.restype, register.argtypes = ctypes.c_void_p, (ctypes.c_char_p,)
    return register(None)


def speak_flite(text: str, voice: str, delivery: Delivery) -> Utterance:
    """A sentence by flite (Black and Lenzo 2001); stress comes from its lexicon."""
    library, pointer = _flite(), _flite_voice(voice)
    utterance = library.new_utterance()
    library.utt_set_input_text(utterance, text.encode("ascii", "ignore"))
    library.utt_init(utterance, pointer)
    features = ctypes.cast(utterance, ctypes.POINTER(ctypes.c_void_p))[0]
    library.feat_set_float(features, b"duration_stretch", delivery.stretch)
    library.feat_set_float(features, b"int_f0_target_mean", delivery.pitch)
    library.feat_set_float(features, b"int_f0_target_stddev", 14.0 * delivery.liveliness)
    library.utt_synth(utterance)
    wave_data = library.utt_wave(utterance).contents
    sound = np.ctypeslib.as_array(wave_data.samples, (wave_data.num_samples,)).astype(np.float32) / 32768.0
    ends, phones, stress = [], [], []
    item = library.relation_head(library.utt_relation(utterance, b"Segment"))
    while item:
        ends.append(library.item_feat_float(item, b"end"))
        phones.append(from_radio(library.item_feat_string(item, b"name").decode()))
        stress.append(int(library.ffeature_string(item, b"R:SylStructure.parent.stress") == b"1"))
        item = library.item_next(item)
    sample_rate = wave_data.sample_rate
    library.delete_utterance(utterance)
    return Utterance(sound, sample_rate, np.array(ends), tuple(phones), np.array(stress, np.int8))


def read_wave(path: Path) -> tuple[np.ndarray, int]:
    """Samples (n_samples,) float32 and rate of a 16-bit mono WAV file."""
    with wave.open(str(path)) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return data.astype(np.float32) / 32768.0, file.getframerate()


_FESTIVAL_SAY = """
(Parameter.set 'Duration_Stretch {stretch:.3f})
(set! int_lr_params '((target_f0_mean {pitch:.1f}) (target_f0_std {spread:.1f}) (model_f0_mean 170) (model_f0_std 34)))
(set! u (Utterance Text "{text}"))
(utt.synth u)
(utt.save.wave u "{stem}.wav")
(set! f (fopen "{stem}.seg" "w"))
(mapcar (lambda (s) (format f "%f %s %s\\n" (item.feat s 'end) (item.name s)
  (item.feat s "R:SylStructure.parent.stress"))) (utt.relation.items u 'Segment))
(fclose f)
"""


def speak_festival(sentences: list[tuple[str, Delivery]], voice: str) -> list[Utterance]:
    """Sentences by festival (Black and Taylor 1997) in a process of its own; those it fails at are left out."""
    with tempfile.TemporaryDirectory() as folder:
        script = [f"({FESTIVAL_VOICES[voice]})"]
        for index, (text, delivery) in enumerate(sentences):
            clean = text.replace('"', "").replace("\\", "").encode("ascii", "ignore").decode()
            values = {"stretch": delivery.stretch, "pitch": delivery.pitch, "spread": 20.0 * delivery.liveliness}
            script.append(_FESTIVAL_SAY.format(text=clean, stem=f"{folder}/{index}", **values))
        path = Path(folder, "say.scm")
        path.write_text("\n".join(script))
        subprocess.run(["festival", "-b", str(path)], capture_output=True, check=False, timeout=600)
        spoken = []
        for index in range(len(sentences)):
            labels, sound = Path(folder, f"{index}.seg"), Path(folder, f"{index}.wav")
            if not (labels.is_file() and sound.is_file() and labels.stat().st_size):
                continue
            rows = [line.split() for line in labels.read_text().splitlines()]
            samples, sample_rate = read_wave(sound)
            ends = np.array([float(row[0]) for row in rows])
            phones = tuple(from_radio(row[1]) for row in rows)
            spoken.append(Utterance(samples, sample_rate, ends, phones, np.array([int(r[2]) for r in rows], np.int8)))
        return spoken


class EspeakProcess:
    """espeak-ng in a process of its own; use as a context manager."""

    def __enter__(self) -> EspeakProcess:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "backend.training.espeak_worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def speak(self, text: str, voice: str, delivery: Delivery) -> Utterance:
        """A sentence; stress is unknown. Raises ValueError where espeak-ng says nothing."""
        request = {
            "text": text,
            "voice": voice,
            "rate": round(170 / delivery.stretch),
            "pitch": round(np.clip(50 * delivery.pitch / 130, 10, 95)),
            "range": round(np.clip(50 * delivery.liveliness, 5, 100)),
        }
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        sound = np.frombuffer(self._process.stdout.read(2 * answer["n_samples"]), "<i2").astype(np.float32) / 32768.0
        if len(answer["events"]) < 4:
            raise ValueError(f"espeak-ng said nothing for {text!r}")
        return _espeak_utterance(sound, answer["sample_rate"], answer["events"])


def _espeak_utterance(sound: np.ndarray, sample_rate: int, events: list) -> Utterance:
    """Phones from espeak-ng's events; a stop's start is moved back over the silence before its burst."""
    starts, phones = [], []
    bounds = [event[0] / sample_rate for event in events] + [len(sound) / sample_rate]
    for (_, name), start, end in zip(events, bounds, bounds[1:]):
        found = from_ipa(name) if name else (SILENCE,)
        for index, phone in enumerate(found):
            starts.append(start + (end - start) * index / len(found))
            phones.append(phone)
    if starts and starts[0] > 0:
        starts.insert(0, 0.0)
        phones.insert(0, SILENCE)
    envelope = np.abs(sound)
    for index, phone in enumerate(phones[1:], 1):
        if phone in {"P", "T", "K", "CH"} and phones[index - 1] != SILENCE:
            step, reach = 0.005, max(starts[index - 1] + 0.03, starts[index] - 0.12)
            moved = starts[index]
            while moved - step > reach:
                piece = envelope[int((moved - step) * sample_rate) : int(moved * sample_rate)]
                if len(piece) == 0 or piece.max() > 0.012:
                    break
                moved -= step
            starts[index] = moved
    ends = np.array([*starts[1:], len(sound) / sample_rate])
    return Utterance(sound, sample_rate, ends, tuple(phones), np.full(len(phones), UNKNOWN_STRESS, np.int8))


def russian_names() -> list[str]:
    """Names of festvox-ru's recordings, sorted; empty where it is not installed."""
    return sorted(
        path.stem
        for path in (RUSSIAN_VOICE / "lab").glob("*.lab")
        if (RUSSIAN_VOICE / "wav" / f"{path.stem}.wav").is_file()
    )


def read_russian(name: str) -> Utterance:
    """One recording of festvox-ru (620 sentences by one speaker, with phone labels)."""
    samples, sample_rate = read_wave(RUSSIAN_VOICE / "wav" / f"{name}.wav")
    rows = [
        line.split() for line in (RUSSIAN_VOICE / "lab" / f"{name}.lab").read_text().splitlines() if line[:1].isdigit()
    ]
    ends = np.array([float(row[0]) for row in rows])
    stress = np.array([int(row[2] in RUSSIAN_STRESSED) for row in rows], np.int8)
    return Utterance(samples, sample_rate, ends, tuple(RUSSIAN[row[2]] for row in rows), stress)
