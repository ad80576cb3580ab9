"""Networks trained by 'emorig train … --data' in the self-driving protocol: every weights file that is there, and the
ablations of the papers' tables.
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from backend.audio.mfcc import eamm_windows
from backend.datasets.clip import PreparedClip
from backend.errors import InputError
from backend.evaluation.selfdrive import CROSSED, DrivenClip, Method
from backend.models.eamm.keypoints import Keypoints
from backend.models.emospeaker import EmoSpeaker, EmoSpeakerConfig
from backend.models.facevid2vid.head_pose import transform
from backend.models.facevid2vid.mapping import windows
from backend.neural.eamm import pose_rows
from backend.portrait.renderer import WarpRenderer
from backend.training.bundles import load_bundle
from backend.training.eamm import stage_file
from backend.training.eamm_data import TalkingExcerpts, emotion_pictures
from backend.training.eamm_networks import ABLATIONS, EammVariant, emotional_keypoints, spoken_keypoints
from backend.training.mapping import FILE as MAPPING_FILE
from backend.training.mapping import NAME as MAPPING
from backend.training.mapping import coefficient_rows
from backend.training.recorded import as_images, as_tensor, picture
from backend.training.recorded_faces import ImportedFeatures, mfcc_features
from bfm.coefficients import FULL_ACTIVATION_SD
from blender_addon.protocol.types import EMOTIONS

BATCH = 8
EMOSPEAKER_ROWS = {"": "EmoSpeaker trained", "_without_au": "EmoSpeaker trained, without AU"}
FEATURES_ROW, FEATURES_FILE = "EmoSpeaker trained, imported features", "emospeaker_features.safetensors"


def trained_methods(
    folder: Path, size: int, *, takes: dict[str, PreparedClip] | None = None, features: Path | None = None
) -> dict[str, Method]:
    """A method for every set of weights in a folder, by name; pictures are resized to size.

    takes: by a clip's key another take whose pictures give EAMM the emotion; the clip's own where there is none.
    features: a folder of the clips' imported features, without which the ablation that hears them is left out.
    Raises InputError where the folder holds none.
    """
    methods: dict[str, Method] = {}
    for suffix, name in EMOSPEAKER_ROWS.items():
        path = folder / f"emospeaker{suffix}.safetensors"
        if path.is_file():
            methods[name] = _emospeaker(path, size)
    if features is not None and (folder / FEATURES_FILE).is_file():
        methods[FEATURES_ROW] = _emospeaker(folder / FEATURES_FILE, size, ImportedFeatures(features))
    if (folder / MAPPING_FILE).is_file():
        methods |= _facevid2vid(folder, size)
    if stage_file(folder, "motion").is_file():
        methods |= _eamm(folder, size, takes or {})
    if not methods:
        raise InputError(f"There are no trained networks in '{folder}': train some with 'emorig train … --data'.")
    return methods


def _emospeaker(path: Path, size: int, imported: ImportedFeatures | None = None) -> Method:
    """Speech, emotion and the warp: a recorded EmoSpeaker's expression with the tracked pose."""
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        config = EmoSpeakerConfig(**json.loads(file.metadata()["config"]))
        network = EmoSpeaker(config)
        network.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    network.eval()

    def method(clip: DrivenClip) -> np.ndarray:
        from dataclasses import replace

        expression = predicted_expression(network, clip.prepared, imported)
        renderer = WarpRenderer(clip.real.portrait, size=size)
        shot = replace(clip.real.coefficients, expression=np.clip(expression, 0.0, FULL_ACTIVATION_SD))
        return np.stack([renderer.render(shot, i) for i in range(shot.n_frames)])

    return method


def predicted_expression(
    network: EmoSpeaker, clip: PreparedClip, imported: ImportedFeatures | None = None
) -> np.ndarray:
    """Expression (n_frames, 64) sd of a clip's sound and label, speech and emotion together, from its first frame.

    Raises InputError where imported features are not those that the network was trained on.
    """
    if imported is not None and imported.n_features != network.config.n_mfcc:
        raise InputError(
            f"The network was trained on {network.config.n_mfcc} features of a frame, got {imported.n_features}."
        )
    heard = mfcc_features(clip, network.config) if imported is None else imported(clip)
    features = torch.from_numpy(heard)[None]
    label, n_frames = clip.label, clip.n_frames
    emotion = torch.zeros(1, n_frames, len(EMOTIONS))
    if label.emotion in EMOTIONS:
        emotion[..., EMOTIONS.index(label.emotion)] = 1.0
    intensity = torch.full((1, n_frames), label.level / 3.0)
    with torch.inference_mode():
        content = network.codes(features)[-1]
        reference = torch.from_numpy(np.array(clip.coefficients.expression[:1]))
        speech = network.express(content, reference)[0, :: network.config.expressions_per_frame]
        state = network.feel(content, torch.zeros(1, network.emotion.reference.in_features), emotion, intensity)
    shown = state[0, :, -64:] if label.emotion in EMOTIONS else torch.zeros(n_frames, 64)
    return (speech + shown).numpy()


def _facevid2vid(folder: Path, size: int) -> dict[str, Method]:
    """Face-vid2vid driven by MappingNet on the four crossings."""
    networks, facts = load_bundle(
        folder / "facevid2vid.safetensors", "facevid2vid.keypoints", "facevid2vid.head_pose", "facevid2vid.generator"
    )
    mapping = load_bundle(folder / MAPPING_FILE, MAPPING)[0][MAPPING]
    side = int(facts["size"])

    def render(clip: DrivenClip, true_speech: bool, true_emotion: bool) -> np.ndarray:
        # The mapping was trained on coefficients in the whole recording's camera: only the expression is exchanged.
        from dataclasses import replace

        shot = replace(clip.prepared.coefficients, expression=clip.coefficients(true_speech, true_emotion).expression)
        source = as_tensor([picture(clip.prepared, 0, side)])
        generator = networks["facevid2vid.generator"]
        with torch.inference_mode():
            canonical = networks["facevid2vid.keypoints"](source)
            rest = transform(canonical, networks["facevid2vid.head_pose"](source))
            moving = windows(torch.from_numpy(coefficient_rows(shot)))
            features = generator.encode(source)
            made = []
            for part in moving.split(BATCH):
                points = transform(canonical.expand(len(part), -1, -1), mapping(part))
                made.append(as_images(generator(features, rest.expand_as(points), points)))
        return _resized(np.concatenate(made), size)

    return {
        f"face-vid2vid {name}": lambda clip, s=speech, e=emotion: render(clip, s, e)
        for name, (speech, emotion) in CROSSED.items()
    }


def _eamm(folder: Path, size: int, takes: dict[str, PreparedClip]) -> dict[str, Method]:
    """EAMM's first module alone, with the displacement learner, and its ablations, as far as they are trained."""
    motion, facts = load_bundle(stage_file(folder, "motion"), "eamm.keypoints", "eamm.generator")
    side = int(facts["size"])
    rows: dict[str, tuple[Path, EammVariant | None]] = {
        "EAMM A2FD (baseline)": (stage_file(folder, "pictures"), None),
        "EAMM": (stage_file(folder, "emotion"), EammVariant()),
        **{f"EAMM {name}": (stage_file(folder, f"emotion_{name}"), variant) for name, variant in ABLATIONS.items()},
    }
    methods: dict[str, Method] = {}
    for name, (path, variant) in rows.items():
        if path.is_file():
            parts = load_bundle(path)[0]
            methods[name] = lambda clip, parts=parts, variant=variant: eamm_frames(
                clip, motion, parts, variant, side=side, size=size, take=takes.get(clip.prepared.label.key)
            )
    return methods


def eamm_frames(
    clip: DrivenClip,
    motion: dict[str, nn.Module],
    parts: dict[str, nn.Module],
    variant: EammVariant | None,
    *,
    side: int,
    size: int,
    take: PreparedClip | None = None,
) -> np.ndarray:
    """Frames (n_frames, size, size, 3) of a clip by EAMM's networks; the last frames without a whole window of sound
    repeat the one before. take: whose pictures give the emotion, the clip's own if none. variant: None without emotion.
    """
    prepared, n_frames = clip.prepared, clip.prepared.n_frames
    sound = eamm_windows(prepared.samples)
    used = np.minimum(np.arange(n_frames), len(sound) - 1)
    poses = pose_rows(prepared.coefficients).astype(np.float32)
    identity = as_tensor([picture(prepared, 0, side)])
    shown = take or prepared
    if variant is None:
        felt = [picture(prepared, 0, side)]
    else:
        frames = np.minimum(np.arange(n_frames), shown.n_frames - 1)
        felt = emotion_pictures(shown, frames, side, np.random.default_rng(0))
    excerpt = TalkingExcerpts(
        identity, torch.from_numpy(sound[used])[None], torch.from_numpy(poses)[None], identity[None],
        as_tensor(felt)[None],
    )  # fmt: skip
    with torch.inference_mode():
        points = spoken_keypoints(parts, excerpt) if variant is None else emotional_keypoints(parts, excerpt, variant)
        generator, source = motion["eamm.generator"], motion["eamm.keypoints"](identity)
        features = generator.encode(identity)
        made = []
        for first in range(0, n_frames, BATCH):
            moving = points[first : first + BATCH]
            rest = Keypoints(source.value.expand_as(moving.value), source.jacobian.expand_as(moving.jacobian))
            made.append(as_images(generator(features, rest, moving)))
    return _resized(np.concatenate(made), size)


def _resized(frames: np.ndarray, size: int) -> np.ndarray:
    if frames.shape[1] == size:
        return frames
    return np.stack([cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC) for frame in frames])
