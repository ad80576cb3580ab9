"""A process of its own that speaks through the installed espeak-ng library (GPL-3) and reports its phone timings.

Reads one JSON request per line {"text", "voice", "rate", "pitch", "range"} on standard input; answers with a JSON line
{"sample_rate", "n_samples", "events": [[sample, IPA] ...]} followed by n_samples 16-bit samples, on standard output.
"""

from __future__ import annotations

import ctypes
import json
import sys

_LIBRARY = "libespeak-ng.so.1"
_SYNCHRONOUS, _PHONE_EVENTS, _IPA = 2, 1, 2
_PHONE_EVENT = 7
_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4


class _Identity(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Identity),
    )


def main() -> None:
    """Serves requests until standard input ends."""
    library = ctypes.CDLL(_LIBRARY)
    sample_rate = library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONE_EVENTS | _IPA)
    events: list[tuple[int, str]] = []
    sound = bytearray()
    callback_type = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))

    def receive(samples, n_samples, reported) -> int:
        if samples:
            sound.extend(ctypes.string_at(samples, 2 * n_samples))
        index = 0
        while reported[index].type != 0:
            if reported[index].type == _PHONE_EVENT:
                events.append((reported[index].sample, reported[index].id.string.decode("utf-8", "ignore")))
            index += 1
        return 0

    callback = callback_type(receive)
    library.espeak_SetSynthCallback(callback)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        events.clear()
        sound.clear()
        library.espeak_SetVoiceByName(request["voice"].encode())
        for parameter, name in ((_RATE, "rate"), (_PITCH, "pitch"), (_RANGE, "range")):
            library.espeak_SetParameter(parameter, int(request[name]), 0)
        text = request["text"].encode()
        library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8, None, None)
        library.espeak_Synchronize()
        answer = {"sample_rate": sample_rate, "n_samples": len(sound) // 2, "events": events}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + bytes(sound))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
