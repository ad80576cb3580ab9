"""The phone alphabet of the speech network: ARPAbet, two sounds English lacks, and silence."""

from __future__ import annotations

SILENCE = "sil"
# DX is also the trilled and tapped r of other languages; UX also their front rounded vowels.
PHONES = (
    SILENCE,
    "P", "B", "M", "F", "V", "TH", "DH", "T", "D", "N", "S", "Z", "L", "R", "DX", "SH", "ZH", "CH", "JH", "Y", "W",
    "K", "G", "NG", "HH",
    "AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW", "UX",
)  # fmt: skip
PHONE_INDEX = {phone: index for index, phone in enumerate(PHONES)}

BILABIALS = frozenset({"P", "B", "M"})
LABIODENTALS = frozenset({"F", "V"})
VOWELS = frozenset(PHONES[PHONE_INDEX["AA"] :])

# The quality that a diphthong starts and ends with.
DIPHTHONGS = {
    "AW": ("AA", "UH"),
    "AY": ("AA", "IH"),
    "EY": ("EH", "IY"),
    "OW": ("AO", "UW"),
    "OY": ("AO", "IH"),
}
