"""Shape names of rigs whose makers have names of their own for ARKit's shapes: shape -> curve -> gain.

Sides are written as L and R at the end and each entry here stands for both; a shape that several share a curve with
(four corners of a funnel) takes all of it. Names that are ARKit's in another spelling need no entry.
"""

from __future__ import annotations

# Reallusion Character Creator 3 and 4.
_CHARACTER_CREATOR = {
    "Brow_Drop_L": "browDownLeft",
    "Brow_Raise_Inner_L": "browInnerUp",
    "Brow_Raise_Outer_L": "browOuterUpLeft",
    "Cheek_Raise_L": "cheekSquintLeft",
    "Mouth_Down_Lower_L": "mouthLowerDownLeft",
    "Mouth_Up_Upper_L": "mouthUpperUpLeft",
    "Mouth_Roll_In_Lower_L": "mouthRollLower",
    "Mouth_Roll_In_Upper_L": "mouthRollUpper",
    "Mouth_Funnel_Up_L": "mouthFunnel",
    "Mouth_Funnel_Down_L": "mouthFunnel",
    "Mouth_Pucker_Up_L": "mouthPucker",
    "Mouth_Pucker_Down_L": "mouthPucker",
}
_CHARACTER_CREATOR_MIDDLE = {
    "Mouth_Roll_In_Lower": "mouthRollLower",
    "Mouth_Roll_In_Upper": "mouthRollUpper",
    "Eye_L_Look_L": "eyeLookOutLeft",
    "Eye_L_Look_R": "eyeLookInLeft",
    "Eye_R_Look_L": "eyeLookInRight",
    "Eye_R_Look_R": "eyeLookOutRight",
    "Eye_L_Look_Up": "eyeLookUpLeft",
    "Eye_R_Look_Up": "eyeLookUpRight",
    "Eye_L_Look_Down": "eyeLookDownLeft",
    "Eye_R_Look_Down": "eyeLookDownRight",
}
# MetaHuman's expression controls, with or without CTRL_expressions_.
_METAHUMAN = {
    "browRaiseInL": "browInnerUp",
    "browRaiseOuterL": "browOuterUpLeft",
    "eyeWidenL": "eyeWideLeft",
    "eyeSquintInnerL": "eyeSquintLeft",
    "eyeCheekRaiseL": "cheekSquintLeft",
    "mouthCheekBlowL": "cheekPuff",
    "noseWrinkleL": "noseSneerLeft",
    "mouthCornerPullL": "mouthSmileLeft",
    "mouthCornerDepressL": "mouthFrownLeft",
    "mouthUpperLipRaiseL": "mouthUpperUpLeft",
    "mouthLowerLipDepressL": "mouthLowerDownLeft",
    "mouthFunnelUL": "mouthFunnel",
    "mouthFunnelDL": "mouthFunnel",
    "mouthLipsPurseUL": "mouthPucker",
    "mouthLipsPurseDL": "mouthPucker",
    "mouthLipsTogetherUL": "mouthClose",
    "mouthLipsTogetherDL": "mouthClose",
    "mouthUpperLipRollInL": "mouthRollUpper",
    "mouthLowerLipRollInL": "mouthRollLower",
    "mouthLipsPressL": "mouthPressLeft",
    "jawChinRaiseDL": "mouthShrugLower",
    "jawChinRaiseUL": "mouthShrugUpper",
}
_METAHUMAN_MIDDLE = {
    "jawFwd": "jawForward",
    "eyeLookLeftL": "eyeLookOutLeft",
    "eyeLookRightL": "eyeLookInLeft",
    "eyeLookLeftR": "eyeLookInRight",
    "eyeLookRightR": "eyeLookOutRight",
}
# MakeHuman's face units as MHX and MPFB bring them.
_MAKEHUMAN = {
    "brow_mid_up_left": "browInnerUp",
    "brow_mid_down_left": "browDownLeft",
    "brow_outer_up_left": "browOuterUpLeft",
    "cheek_balloon_left": "cheekPuff",
    "lips_mid_lower_down_left": "mouthLowerDownLeft",
    "lips_mid_upper_up_left": "mouthUpperUpLeft",
    "mouth_corner_up_left": "mouthSmileLeft",
    "mouth_corner_down_left": "mouthFrownLeft",
    "mouth_narrow_left": "mouthPucker",
    "mouth_wide_left": "mouthStretchLeft",
}
_MAKEHUMAN_MIDDLE = {"mouth_open": "jawOpen", "lips_upper_in": "mouthRollUpper", "lips_lower_in": "mouthRollLower"}

_OTHER_SIDE = (("Left", "Right"), ("_L", "_R"), ("left", "right"))


def _both_sides(table: dict[str, str]) -> dict[str, str]:
    """The table with every entry's mirror image added."""
    return table | {_mirrored(shape): _mirrored(curve) for shape, curve in table.items()}


def _mirrored(name: str) -> str:
    for ours, theirs in _OTHER_SIDE:
        if name.endswith(ours):
            return name[: -len(ours)] + theirs
    return name[:-1] + "R" if name.endswith("L") else name


RIGS = {
    "Character Creator": _both_sides(_CHARACTER_CREATOR) | _CHARACTER_CREATOR_MIDDLE,
    "MetaHuman": _both_sides(_METAHUMAN) | _METAHUMAN_MIDDLE,
    "MakeHuman": _both_sides(_MAKEHUMAN) | _MAKEHUMAN_MIDDLE,
}
ALIASES = {shape: curve for table in RIGS.values() for shape, curve in table.items()}
