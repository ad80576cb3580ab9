"""How rigs in circulation name their shapes: prefixes to see through, and shapes made of several curves."""

from __future__ import annotations

# Written before the shape's own name by exporters and rig packs; compared in lower case without separators.
PREFIXES = ("blendshape", "blendshapes", "arkit", "face", "head", "ctrl", "exp", "expressions", "shape", "morph")

# Shapes that stand for both sides at once (Ready Player Me, older Apple names): shape -> channels whose mean it takes.
BOTH_SIDES = {
    "mouthSmile": ("mouthSmileLeft", "mouthSmileRight"),
    "mouthFrown": ("mouthFrownLeft", "mouthFrownRight"),
    "mouthDimple": ("mouthDimpleLeft", "mouthDimpleRight"),
    "mouthStretch": ("mouthStretchLeft", "mouthStretchRight"),
    "mouthPress": ("mouthPressLeft", "mouthPressRight"),
    "mouthUpperUp": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "mouthLowerDown": ("mouthLowerDownLeft", "mouthLowerDownRight"),
    "browDown": ("browDownLeft", "browDownRight"),
    "browOuterUp": ("browOuterUpLeft", "browOuterUpRight"),
    "cheekSquint": ("cheekSquintLeft", "cheekSquintRight"),
    "noseSneer": ("noseSneerLeft", "noseSneerRight"),
    "eyeBlink": ("eyeBlinkLeft", "eyeBlinkRight"),
    "eyesClosed": ("eyeBlinkLeft", "eyeBlinkRight"),
    "eyeSquint": ("eyeSquintLeft", "eyeSquintRight"),
    "eyeWide": ("eyeWideLeft", "eyeWideRight"),
    "eyesLookUp": ("eyeLookUpLeft", "eyeLookUpRight"),
    "eyesLookDown": ("eyeLookDownLeft", "eyeLookDownRight"),
}

# Channels that have no side but that some rigs split into two shapes (ICT-FaceKit, MetaHuman exports).
SPLIT_SHAPES = ("browInnerUp", "cheekPuff")

# VRM 1.0 expressions, VRM 0 / VRoid shapes and OVR visemes as sums of channels (shape -> channel -> gain): used only
# on meshes that have no shape of a channel's own name. The mouth vowels follow their articulation: a opens the jaw,
# i and e spread the lips, u and o round them.
VRM_EXPRESSIONS = {
    "aa": {"jawOpen": 1.4, "mouthFunnel": -0.4, "mouthPucker": -0.6},
    "ih": {"mouthStretchLeft": 0.6, "mouthStretchRight": 0.6, "mouthSmileLeft": 0.2, "mouthSmileRight": 0.2},
    "ou": {"mouthPucker": 0.9},
    "ee": {"mouthLowerDownLeft": 0.4, "mouthLowerDownRight": 0.4, "mouthUpperUpLeft": 0.2, "mouthUpperUpRight": 0.2},
    "oh": {"mouthFunnel": 0.9},
    "blinkLeft": {"eyeBlinkLeft": 1.0},
    "blinkRight": {"eyeBlinkRight": 1.0},
    "blink": {"eyeBlinkLeft": 0.5, "eyeBlinkRight": 0.5},
    "happy": {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5},
    "angry": {"browDownLeft": 0.5, "browDownRight": 0.5},
    "sad": {"mouthFrownLeft": 0.5, "mouthFrownRight": 0.5},
    "surprised": {"eyeWideLeft": 0.5, "eyeWideRight": 0.5},
    "lookUp": {"eyeLookUpLeft": 0.5, "eyeLookUpRight": 0.5},
    "lookDown": {"eyeLookDownLeft": 0.5, "eyeLookDownRight": 0.5},
    "lookLeft": {"eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5},
    "lookRight": {"eyeLookInLeft": 0.5, "eyeLookOutRight": 0.5},
    "PP": {"mouthClose": 1.2, "mouthPressLeft": 0.4, "mouthPressRight": 0.4},
    "FF": {"mouthRollLower": 0.9},
    "TH": {"tongueOut": 1.0},
    "CH": {"mouthFunnel": 0.4, "mouthPucker": 0.3},
}
VRM_SPELLINGS = {
    "aa": ("aa", "a", "Fcl_MTH_A", "vrc.v_aa", "viseme_aa"),
    "ih": ("ih", "i", "Fcl_MTH_I", "vrc.v_ih", "viseme_I"),
    "ou": ("ou", "u", "Fcl_MTH_U", "vrc.v_ou", "viseme_U"),
    "ee": ("ee", "e", "Fcl_MTH_E", "vrc.v_e", "viseme_E"),
    "oh": ("oh", "o", "Fcl_MTH_O", "vrc.v_oh", "viseme_O"),
    "blinkLeft": ("blinkLeft", "blink_l", "Fcl_EYE_Close_L"),
    "blinkRight": ("blinkRight", "blink_r", "Fcl_EYE_Close_R"),
    "blink": ("blink", "Fcl_EYE_Close"),
    "happy": ("happy", "joy", "Fcl_ALL_Joy"),
    "angry": ("angry", "Fcl_ALL_Angry"),
    "sad": ("sad", "sorrow", "Fcl_ALL_Sorrow"),
    "surprised": ("surprised", "Fcl_ALL_Surprised"),
    "lookUp": ("lookUp",),
    "lookDown": ("lookDown",),
    "lookLeft": ("lookLeft",),
    "lookRight": ("lookRight",),
    "PP": ("viseme_PP", "vrc.v_pp"),
    "FF": ("viseme_FF", "vrc.v_ff"),
    "TH": ("viseme_TH", "vrc.v_th"),
    "CH": ("viseme_CH", "vrc.v_ch"),
}
