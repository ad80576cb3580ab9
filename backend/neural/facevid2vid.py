"""Face-vid2vid at work: one portrait's frames in batches, its source encoded once, pasted back into the photo."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from backend.checkpoints.store import MissingWeightsError, installed, load_network
from backend.models.facevid2vid import head_pose
from backend.models.facevid2vid.head_pose import HeadMotion
from backend.models.facevid2vid.mapping import windows
from backend.neural.crop import face_crop
from backend.neural.driving import CROP_ORDER, EMOSPEAKER_ORDER, SADTALKER_ORDER, drive
from backend.neural.optimised import FastGenerator
from backend.portrait.analysis import Portrait
from backend.portrait.plate import make_plate
from bfm.coefficients import FaceCoefficients

MAPPINGS = {
    "facevid2vid.mapping_emotion": EMOSPEAKER_ORDER,
    "facevid2vid.mapping": SADTALKER_ORDER,
    "facevid2vid.mapping_crop": CROP_ORDER,
}
"""The mappings in the order of choice, and what each reads."""


class FaceVid2VidRenderer:
    """Renders one portrait by imported weights. Raises MissingWeightsError and InputError."""

    def __init__(self, portrait: Portrait, *, size: int | None = None) -> None:
        self._portrait = portrait
        self._plate = plate = make_plate(portrait, size)
        model_landmarks = _landmarks_68(plate.landmarks)
        self._crop = face_crop(model_landmarks)
        self._network_size = network_size(self._crop.side)
        preferred = (f"sadtalker-{self._network_size}",)
        self._mapping, self._order = _choose_mapping()
        detector = load_network("facevid2vid.keypoints", preferred=preferred)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._generator = FastGenerator(load_network("facevid2vid.generator", preferred=preferred), self._device)
        self._square = self._crop.cut(plate.image, self._network_size)
        self._square_landmarks = (model_landmarks - [self._crop.left, self._crop.top]) * (
            self._network_size / self._crop.side
        )
        with torch.inference_mode():
            image = torch.from_numpy(self._square).permute(2, 0, 1)[None].float() / 255
            self._canonical = detector(image)
        self._features = self._generator.encode(image)

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height in pixels, both even."""
        height, width = self._plate.image.shape[:2]
        return width, height

    def frames(self, source: Tensor, driving: Tensor) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8 RGB with the key points driving (n_frames, 15, 3) in place of source (1, 15, 3), in
        order; the next are computed while one is looked at.
        """
        for picture in self._generator.pictures(self._features, source, driving):
            yield self._crop.paste(self._plate.image, picture.permute(1, 2, 0).numpy())

    def keypoints(self, coefficients: FaceCoefficients) -> tuple[Tensor, Tensor, tuple[str, ...]]:
        """Key points of the source (1, 15, 3) and of every frame (n_frames, 15, 3), and notices for the user."""
        given = drive(self._portrait, self._square, self._square_landmarks, coefficients)
        source, frames = given.packed(self._order)
        with torch.inference_mode():
            rest = self._mapping(windows(torch.from_numpy(source)))
            moving = windows(torch.from_numpy(frames))
            parts = [self._mapping(part) for part in moving.split(256)]
            motion = HeadMotion(*(torch.cat([getattr(p, name) for p in parts]) for name in HeadMotion.__annotations__))
            at_rest = head_pose.transform(self._canonical, rest)
            driving = head_pose.transform(self._canonical.expand(len(frames), -1, -1), motion)
        return at_rest, driving, given.notices


def network_size(side: int) -> int:
    """256 or 512: what is imported, and where both are, what comes nearer to the face's side in pixels."""
    here = {item.file.name for item in installed()}
    if "sadtalker-512" in here and ("sadtalker-256" not in here or side > 384):
        return 512
    return 256


def _choose_mapping():
    missing = None
    for network, order in MAPPINGS.items():
        try:
            return load_network(network), order
        except MissingWeightsError as error:
            missing = error if network == "facevid2vid.mapping" else missing
    raise missing


def _landmarks_68(landmarks: np.ndarray) -> np.ndarray:
    """68 landmarks (68, 2) of 478 (478, 2 or 3)."""
    from bfm.sources.embedded import load_embedded_model

    return landmarks[load_embedded_model().landmarks_68, :2]
