"""From a picture to a portrait that can be animated: landmarks, person mask and the fitted face model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.errors import NoFaceError
from backend.portrait import detection
from backend.portrait.images import load_image
from backend.portrait.mask import person_mask
from backend.portrait.second_opinion import with_second_opinion
from backend.portrait.visibility import is_behind_dark_glass, is_mouth_covered, is_shut
from bfm.fitting import FittedFace, fit_landmarks
from bfm.sources.embedded import load_embedded_model

__all__ = ["LEAST_FACE_HEIGHT", "Portrait", "analyse_portrait", "load_image"]

LEAST_FACE_HEIGHT = 48.0  # pixels from forehead to chin
MOST_YAW = np.radians(48.0)  # beyond it half the face is out of sight
MUCH_YAW = np.radians(25.0)  # beyond it the far side shows little, and what is hidden cannot appear


@dataclass(frozen=True)
class Portrait:
    """A picture and what is known of the person in it.

    image (height, width, 3) uint8 RGB; landmarks (478, 3) float32 pixels; person_mask (height, width) float32 0–1;
    fit: identity, pose and the picture's own expression; n_faces: people found, of whom this is the largest;
    doubt: what the user should know of the landmarks.
    """

    image: np.ndarray
    landmarks: np.ndarray
    person_mask: np.ndarray
    fit: FittedFace
    n_faces: int
    doubt: str | None = None

    @property
    def notices(self) -> list[str]:
        """What the user should know of a portrait that is usable all the same, one sentence each."""
        points, found = self.landmarks[:, :2], [] if self.doubt is None else [self.doubt]
        if self.n_faces > 1:
            found.append(f"The portrait shows {self.n_faces} faces: the largest is animated.")
        if any(is_shut(points, eye) for eye in (0, 1)):
            found.append("Eyes are closed in the portrait: they stay closed.")
        if any(is_behind_dark_glass(self.image, points, eye) for eye in (0, 1)):
            found.append("Dark glasses hide the eyes in the portrait: blinks and gaze do not show.")
        yaw = abs(float(self.fit.rotation[1]))
        if yaw > MUCH_YAW:
            found.append(
                f"The face is turned {np.degrees(yaw):.0f}° in the portrait: it turns little further, and what is "
                "hidden stays hidden."
            )
        return found


def analyse_portrait(image: np.ndarray) -> Portrait:
    """The largest face of image (height, width, 3) uint8 RGB, ready to animate.

    Raises NoFaceError where there is no person's face, or where it is too small, turned away, upside down or covered.
    """
    faces = detection.find_faces(image)
    people = [face for face in faces if face.is_plausible]
    if not people:
        raise NoFaceError(_refusal(image, faces))
    face = people[0]
    if face.height < LEAST_FACE_HEIGHT:
        raise NoFaceError(
            f"The face is only {face.height:.0f} pixels tall: use a picture in which it is at least "
            f"{LEAST_FACE_HEIGHT:.0f} pixels from forehead to chin."
        )
    if is_mouth_covered(image, face.landmarks[:, :2]):
        raise NoFaceError("The mouth is covered: use a picture in which the lips can be seen.")
    height, width = image.shape[:2]
    landmarks, doubt = with_second_opinion(image, face.landmarks)
    fit = fit_landmarks(load_embedded_model(), landmarks, image_height=height, image_width=width)
    if abs(fit.rotation[1]) > MOST_YAW:
        raise NoFaceError(
            f"The face is turned {np.degrees(abs(fit.rotation[1])):.0f}° away: use a picture turned less than "
            f"{np.degrees(MOST_YAW):.0f}° to the side."
        )
    mask = person_mask(image, landmarks)
    return Portrait(np.ascontiguousarray(image), landmarks, mask, fit, len(people), doubt)


def _refusal(image: np.ndarray, faces: list[detection.DetectedFace]) -> str:
    if any(face.is_plausible for face in detection.find_faces(image[::-1, ::-1])):
        return "The face in the picture is upside down: turn the picture."
    if faces:
        return (
            "No human face was found: what looks like a face is not a person's or is hidden in part; use a picture "
            "of a person's whole face."
        )
    return "No face was found in the picture: use one that shows a person's face from the front."
