"""What the papers report, row by row; every row is theirs, on their test sets, and marked so beside ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedTable:
    """A paper's table: its name, the test set, columns by our measures' names, and rows of values (None: no value)."""

    name: str
    paper: str
    test_set: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[float | None, ...]]


EMOSPEAKER, EAMM = "EmoSpeaker (Feng et al.)", "EAMM (Ji et al. 2022)"
_QUALITY_AND_LIPS = ("fid", "ssim", "psnr", "cpbd", "sync_distance", "sync_confidence", "sync_offset")
_LIPS = ("sync_distance", "sync_confidence", "sync_offset")

TABLES = {
    "emospeaker-3": PublishedTable(
        "Table III", EMOSPEAKER, "MEAD and CREMA-D, their split", _QUALITY_AND_LIPS,
        {
            "Real Video (MEAD)": (0.000, 1.000, 31.734, 0.265, 7.869, 6.564, -2.0),
            "Wav2lip (MEAD, lips only)": (16.641, 0.932, 30.929, 0.305, 6.611, 8.119, -2.0),
            "MEAD (MEAD)": (146.454, 0.469, 14.864, 0.191, 11.957, 2.674, -2.0),
            "EVP (MEAD)": (56.650, 0.453, 16.308, 0.341, 12.443, 3.163, 5.0),
            "EAMM (MEAD)": (204.002, 0.396, 12.832, 0.135, 10.091, 3.046, -4.0),
            "EmoSpeaker (MEAD)": (25.566, 0.728, 22.211, 0.224, 8.527, 4.354, 0.0),
            "Real Video (CREMA-D)": (0.000, 1.000, 26.453, 0.272, 7.701, 6.365, 0.0),
            "EAMM (CREMA-D)": (113.671, 0.589, 13.110, 0.208, 10.593, 3.109, 2.0),
            "EmoSpeaker (CREMA-D)": (15.418, 0.772, 23.985, 0.289, 8.068, 4.252, 0.0),
        },
    ),
    "emospeaker-5": PublishedTable(
        "Table V", EMOSPEAKER, "MEAD, their split", _LIPS,
        {
            "DeepSpeech": (10.365, 3.152, 1.0), "Wav2vec": (9.991, 3.374, 2.0), "without AU": (10.384, 3.009, -1.0),
            "with AU": (8.527, 4.354, 0.0),
        },
    ),
    "emospeaker-6": PublishedTable(
        "Table VI", EMOSPEAKER, "MEAD, their split", _QUALITY_AND_LIPS,
        {
            "Exp(T) + Id(T)Tex(T)": (26.313, 0.717, 23.053, 0.216, 9.161, 4.582, 0.0),
            "Exp(T) + Id(P)Tex(P)": (27.422, 0.714, 22.011, 0.201, 9.894, 4.466, 0.0),
            "Exp(P) + Id(T)Tex(T)": (29.149, 0.725, 19.809, 0.215, 9.372, 4.487, -1.0),
            "Exp(P) + Id(P)Tex(P)": (25.567, 0.729, 22.210, 0.224, 8.527, 4.354, 0.0),
        },
    ),
    "eamm-1": PublishedTable(
        "Table 1", EAMM, "MEAD, their split", ("ssim", "psnr", "sync_confidence", "mouth_lmd", "face_lmd"),
        {
            "ATVG": (0.57, 28.58, 2.24, 3.14, 3.87), "SDA": (0.44, 28.54, 1.88, 3.99, 4.50),
            "Wav2Lip": (0.57, 29.03, 2.24, 3.43, 3.80), "MakeItTalk": (0.56, 28.92, 2.20, 3.80, 3.92),
            "PC-AVS": (0.60, 29.02, 2.10, 2.97, 2.74), "Ground Truth": (1.00, None, 2.18, 0.00, 0.00),
            "EAMM": (0.66, 29.29, 2.26, 2.41, 2.55),
        },
    ),
    "eamm-1-lrw": PublishedTable(
        "Table 1", EAMM, "LRW, its test set", ("ssim", "psnr", "sync_confidence", "mouth_lmd", "face_lmd"),
        {
            "ATVG": (0.69, 28.98, 5.12, 2.69, 2.64), "SDA": (0.50, 28.96, 5.26, 2.75, 4.74),
            "Wav2Lip": (0.73, 30.63, 5.94, 1.81, 2.46), "MakeItTalk": (0.69, 30.38, 5.34, 2.20, 2.83),
            "PC-AVS": (0.71, 30.39, 5.46, 1.67, 2.05), "Ground Truth": (1.00, None, 5.56, 0.00, 0.00),
            "EAMM": (0.74, 30.92, 5.52, 1.61, 2.08),
        },
    ),
    "eamm-3": PublishedTable(
        "Table 3", EAMM, "MEAD, their split", ("emotion_accuracy", "mouth_lmd", "face_lmd", "ssim"),
        {
            "A2FD (Baseline)": (0.1407, 2.78, 2.69, 0.62), "Feature-based": (0.4826, 2.62, 2.61, 0.64),
            "w/o augmentation": (0.4937, 2.60, 2.56, 0.63), "w/o condition": (0.5254, 2.58, 2.60, 0.65),
            "All points": (0.5726, 2.49, 2.62, 0.66), "EAMM": (0.6841, 2.41, 2.55, 0.66),
        },
    ),
}  # fmt: skip

WINDOWS = (20, 15, 10, 5, 2)
MATRIX = {  # EmoSpeaker's Table VII: recognition probability by level 1-3 and window
    "happy": ((0.749, 0.747, 0.804, 0.884, 0.979), (0.864, 0.903, 0.932, 0.937, 0.977),
              (0.979, 0.970, 0.977, 0.981, 0.995)),
    "angry": ((0.107, 0.110, 0.111, 0.137, 0.132), (0.144, 0.225, 0.241, 0.241, 0.281),
              (0.133, 0.278, 0.289, 0.299, 0.320)),
    "fear": ((0.179, 0.190, 0.206, 0.193, 0.210), (0.178, 0.179, 0.203, 0.218, 0.304),
             (0.195, 0.204, 0.242, 0.259, 0.321)),
}  # fmt: skip
# Which of our methods stand beside which table; a name that ends in * matches its beginning.
OURS = {
    "emospeaker-3": ("still photo", "warp Exp(P) + Emo(P)", "face-vid2vid Exp(P) + Emo(P)", "EAMM"),
    "emospeaker-5": ("warp Exp(P) + Emo(P)", "EmoSpeaker trained*"),
    "emospeaker-6": ("warp Exp*", "face-vid2vid Exp*"),
    "eamm-1": ("still photo", "warp Exp(P) + Emo(P)", "EAMM A2FD (baseline)", "EAMM"),
    "eamm-1-lrw": ("warp Exp(P) + Emo(P)", "EAMM A2FD (baseline)"),
    "eamm-3": ("EAMM*",),
}
