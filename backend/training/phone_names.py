"""What the speech engines call their phones, in the network's alphabet."""

from __future__ import annotations

import unicodedata

from ..audio.phones import PHONE_INDEX, SILENCE

# flite's and festival's US radio phone set is lower-case ARPAbet but for these.
RADIO = {"pau": SILENCE, "h#": SILENCE, "brth": SILENCE, "ax": "AH", "ix": "IH", "axr": "ER", "el": "L", "em": "M",
         "en": "N", "nx": "N", "hv": "HH"}  # fmt: skip

# Labels of festvox-ru; doubled letters are palatalised consonants or stressed vowels.
RUSSIAN = {
    "pau": SILENCE, "#": SILENCE, "a": "AH", "aa": "AA", "ae": "IH", "ay": "AH", "e": "EH", "ee": "EH", "i": "IH",
    "ii": "IY", "oo": "AO", "u": "UH", "uu": "UW", "ur": "UH", "y": "IH", "yy": "IH", "j": "Y", "b": "B", "bb": "B",
    "c": "S", "ch": "CH", "d": "D", "dd": "D", "f": "F", "ff": "F", "g": "G", "gg": "G", "h": "HH", "hh": "HH",
    "k": "K", "kk": "K", "l": "L", "ll": "L", "m": "M", "mm": "M", "n": "N", "nn": "N", "p": "P", "pp": "P",
    "r": "DX", "rr": "DX", "s": "S", "ss": "S", "sch": "SH", "sh": "SH", "t": "T", "tt": "T", "v": "V", "vv": "V",
    "z": "Z", "zz": "Z", "zh": "ZH",
}  # fmt: skip
RUSSIAN_STRESSED = frozenset({"aa", "ee", "ii", "oo", "uu", "yy"})

_IPA = {
    "p": "P", "b": "B", "m": "M", "ɸ": "F", "β": "V", "f": "F", "v": "V", "ʋ": "V", "ɱ": "V", "θ": "TH", "ð": "DH",
    "t": "T", "d": "D", "ʈ": "T", "ɖ": "D", "n": "N", "ɳ": "N", "ɲ": "N", "ŋ": "NG", "s": "S", "z": "Z", "ʃ": "SH",
    "ʒ": "ZH", "ʂ": "SH", "ʐ": "ZH", "ɕ": "SH", "ʑ": "ZH", "tʃ": "CH", "dʒ": "JH", "tɕ": "CH", "dʑ": "JH",
    "ʈʂ": "CH", "ɖʐ": "JH", "ts": "S", "dz": "Z", "l": "L", "ɫ": "L", "ɭ": "L", "ʎ": "L", "ɹ": "R", "ɻ": "R",
    "r": "DX", "ɾ": "DX", "ɽ": "DX", "ʀ": "HH", "ʁ": "HH", "x": "HH", "χ": "HH", "h": "HH", "ɦ": "HH", "ç": "HH",
    "ħ": "HH", "ʕ": "HH", "ʔ": "HH", "ɣ": "HH", "j": "Y", "w": "W", "ɥ": "W", "k": "K", "c": "K", "q": "K",
    "ɡ": "G", "g": "G", "ɟ": "G", "a": "AA", "ɑ": "AA", "ɐ": "AH", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɜ": "ER",
    "ɚ": "ER", "ɝ": "ER", "e": "EH", "ɛ": "EH", "ɪ": "IH", "i": "IY", "ɨ": "IH", "ɯ": "IH", "o": "AO", "ɔ": "AO",
    "ɒ": "AA", "u": "UW", "ʊ": "UH", "ʉ": "UX", "y": "UX", "ʏ": "UX", "ø": "UX", "œ": "UX", "ɵ": "UX", "ɤ": "AH",
    "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "əʊ": "OW", "ɔɪ": "OY",
}  # fmt: skip


def from_radio(name: str) -> str:
    """ARPAbet for a phone of flite or festival's US voices. Raises KeyError for an unknown one."""
    phone = RADIO.get(name, name.upper())
    if phone not in PHONE_INDEX:
        raise KeyError(f"unknown phone '{name}'")
    return phone


def from_ipa(text: str) -> tuple[str, ...]:
    """ARPAbet for an engine's IPA string, such as 'əl' or 'tʃ'; empty where only modifiers are in it."""
    letters = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) in ("Ll", "Lo"))
    found, position = [], 0
    while position < len(letters):
        for length in (2, 1):
            phone = _IPA.get(letters[position : position + length])
            if phone is not None:
                found.append(phone)
                break
        position += length
    return tuple(found)
