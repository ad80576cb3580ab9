"""What the face model refuses: one sentence that says what was expected, what came and what to do."""

from __future__ import annotations


class FaceModelError(ValueError):
    """A face model, landmarks or coefficients that cannot be used."""
