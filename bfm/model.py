"""A 3D morphable face model: S = mean + identity · B_id + expression · B_exp, and where its landmarks lie."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bfm.coefficients import (
    CHANNEL_INDEX,
    EXPRESSION_CHANNELS,
    FULL_ACTIVATION_SD,
)
from bfm.contact import CONTACT_PAIRS, close, closing_vectors, gaps
from bfm.errors import FaceModelError
from bfm.landmarks import LEFT_LID_PAIRS, N_LANDMARKS, RIGHT_LID_PAIRS


@dataclass(frozen=True)
class FaceModel:
    """Geometry in decimetres (+X the character's left, +Y up, +Z out of the face), bases per standard deviation.

    mean (n_vertices, 3); identity_basis (80, n_vertices, 3); expression_basis (64, n_vertices, 3);
    texture_mean (n_vertices, 3) and texture_basis (80, n_vertices, 3): albedo, linear RGB 0–1;
    triangles (n_triangles, 3), quads (n_quads, 4) int32, counter-clockwise from outside; uv (n_vertices, 2) 0–1;
    regions (n_vertices,) uint8 into region_names; twins (n_vertices,) the mirror vertex;
    landmark_triangles (478, 3) vertex indices and landmark_barycentric (478, 3); landmarks_68 (68,) landmark indices;
    contact_weights (23, n_vertices): see bfm.contact, all 0 where a model knows no contacts; eyeballs (2, 3) centres
    dm, right then left; pivot (3,) dm: where the head turns on the neck.
    The embedded head has 80 identity, 64 expression and 80 texture modes; other models may have other numbers (n_id,
    n_expression, n_texture), whose expressions expression_names lists.
    Raises FaceModelError where shapes disagree.
    """

    name: str
    mean: np.ndarray
    identity_basis: np.ndarray
    expression_basis: np.ndarray
    texture_mean: np.ndarray
    texture_basis: np.ndarray
    triangles: np.ndarray
    quads: np.ndarray
    uv: np.ndarray
    regions: np.ndarray
    region_names: tuple[str, ...]
    twins: np.ndarray
    landmark_triangles: np.ndarray
    landmark_barycentric: np.ndarray
    landmarks_68: np.ndarray
    contact_weights: np.ndarray
    eyeballs: np.ndarray
    pivot: np.ndarray
    expression_names: tuple[str, ...] = EXPRESSION_CHANNELS
    units: str = "dm"
    landmark_mean: np.ndarray = field(init=False, repr=False)
    landmark_identity: np.ndarray = field(init=False, repr=False)
    landmark_expression: np.ndarray = field(init=False, repr=False)
    landmark_contact: np.ndarray = field(init=False, repr=False)
    lid_shares: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        n = len(self.mean)
        shapes = {
            "mean": (n, 3),
            "identity_basis": (len(self.identity_basis), n, 3),
            "expression_basis": (len(self.expression_names), n, 3),
            "texture_mean": (n, 3),
            "texture_basis": (len(self.texture_basis), n, 3),
            "uv": (n, 2),
            "contact_weights": (len(CONTACT_PAIRS), n),
            "landmark_triangles": (N_LANDMARKS, 3),
            "landmark_barycentric": (N_LANDMARKS, 3),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise FaceModelError(f"face model: {name} should have shape {shape}, got {getattr(self, name).shape}")
        for name, basis in (("mean", self.mean[None]), ("identity", self.identity_basis)):
            sampled = self._at_landmarks(basis)
            object.__setattr__(self, f"landmark_{name}", sampled[0] if name == "mean" else sampled)
        object.__setattr__(self, "landmark_expression", self._at_landmarks(self.expression_basis))
        contact = self._at_landmarks(self.contact_weights[:, :, None])[:, :, 0]
        object.__setattr__(self, "landmark_contact", contact)
        object.__setattr__(self, "lid_shares", self._lid_shares() if self.has_contacts else np.zeros((2, 0)))

    @property
    def n_vertices(self) -> int:
        """Number of vertices."""
        return len(self.mean)

    @property
    def has_contacts(self) -> bool:
        """Whether lids and lips are known to meet, by the named channels: where not, the basis is used as it is."""
        return self.expression_names == EXPRESSION_CHANNELS and bool(self.contact_weights.any())

    def _at_landmarks(self, values: np.ndarray) -> np.ndarray:
        """Vertex values (n, n_vertices, 3) sampled at the landmarks: (n, 478, 3) float32."""
        corners = values[:, self.landmark_triangles]
        return np.einsum("nlkc,lk->nlc", corners, self.landmark_barycentric).astype(np.float32)

    def _lid_shares(self) -> np.ndarray:
        """Change of each eye's opening per standard deviation (2, 64), as a share of the rest opening; right, left."""
        shares = []
        for pairs in (RIGHT_LID_PAIRS, LEFT_LID_PAIRS):
            upper, lower = np.array(pairs[2:5]).T
            rest = (self.landmark_mean[upper, 1] - self.landmark_mean[lower, 1]).mean()
            shares.append(
                (self.landmark_expression[:, upper, 1] - self.landmark_expression[:, lower, 1]).mean(1) / rest
            )
        return np.stack(shares)

    def coupled(self, expression: np.ndarray) -> np.ndarray:
        """Expression (n_frames, 64) sd with lids and lips kept from passing through each other.

        eyeBlink closes what gaze, squint and eyeWide leave open, so that 1 shuts the eye whatever else it does;
        mouthClose takes back no more than jawOpen opens.
        """
        coupled = np.array(np.atleast_2d(expression), np.float32)
        if coupled.shape[1:] != (len(self.expression_basis),):
            wanted = f"(n_frames, {len(self.expression_basis)})"
            raise FaceModelError(f"expression should have shape {wanted}, got {np.shape(expression)}")
        if not self.has_contacts:
            return coupled
        for side, name in enumerate(("eyeBlinkRight", "eyeBlinkLeft")):
            blink = CHANNEL_INDEX[name]
            others = self.lid_shares[side].copy()
            others[blink] = 0.0
            opening = np.clip(1.0 + coupled @ others, 0.0, 2.0)
            closed = np.clip(coupled[:, blink] / FULL_ACTIVATION_SD, None, 1.0)
            coupled[:, blink] = closed * opening * FULL_ACTIVATION_SD
        close, jaw = CHANNEL_INDEX["mouthClose"], CHANNEL_INDEX["jawOpen"]
        coupled[:, close] = np.minimum(coupled[:, close], np.maximum(coupled[:, jaw], 0.0))
        return coupled

    def landmark_positions(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """The 478 landmarks (n_frames, 478, 3) dm of identity (80,) sd and expression (n_frames, 64) sd.

        Eyes shut exactly at eyeBlink 1 and lips seal exactly where mouthClose reaches jawOpen.
        """
        posed, vectors = self._posed_landmarks(identity, self.coupled(expression))
        return close(posed, vectors, self.landmark_contact)

    def vertices(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """All vertices (n_frames, n_vertices, 3) dm of identity (80,) sd and expression (n_frames, 64) sd."""
        coupled = self.coupled(expression)
        face = self.mean + np.tensordot(self._identity(identity), self.identity_basis, 1)
        posed = np.tensordot(coupled, self.expression_basis, 1)
        posed += face
        return close(posed, self._posed_landmarks(identity, coupled)[1], self.contact_weights)

    def _posed_landmarks(self, identity: np.ndarray, coupled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks (n_frames, 478, 3) dm of the linear basis, and what their contacts still have to close."""
        rest = self.landmark_mean + np.tensordot(self._identity(identity), self.landmark_identity, 1)
        posed = rest + np.tensordot(coupled, self.landmark_expression, 1)
        if not self.has_contacts:
            return posed, np.zeros((len(posed), len(CONTACT_PAIRS), 3), np.float32)
        eyelids = [CHANNEL_INDEX["eyeBlinkRight"], CHANNEL_INDEX["eyeBlinkLeft"]]
        blink = coupled[:, eyelids]
        opening = 1.0 + coupled @ self.lid_shares.T - blink * self.lid_shares[[0, 1], eyelids]
        blinks = np.clip(blink / FULL_ACTIVATION_SD / np.maximum(opening, 1e-3), 0.0, 1.0)
        open_gaps = gaps(posed) - np.tensordot(blink, gaps(self.landmark_expression[eyelids]), 1)
        jaw, closed = coupled[:, CHANNEL_INDEX["jawOpen"]], coupled[:, CHANNEL_INDEX["mouthClose"]]
        seal = np.clip(closed / np.maximum(jaw, 1e-3), 0.0, 1.0)
        return posed, closing_vectors(posed, open_gaps, blinks=blinks, seal=seal)

    def albedo(self, texture: np.ndarray) -> np.ndarray:
        """Albedo (n_vertices, 3), linear RGB 0–1, of texture coefficients (80,) sd."""
        texture = np.asarray(texture, np.float32)
        if texture.shape != (len(self.texture_basis),):
            raise FaceModelError(f"texture should have shape ({len(self.texture_basis)},), got {texture.shape}")
        return np.clip(self.texture_mean + np.tensordot(texture, self.texture_basis, 1), 0.0, 1.0)

    def _identity(self, identity: np.ndarray) -> np.ndarray:
        identity = np.asarray(identity, np.float32)
        if identity.shape != (len(self.identity_basis),):
            raise FaceModelError(f"identity should have shape ({len(self.identity_basis)},), got {identity.shape}")
        return identity
