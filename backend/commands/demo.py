"""The demonstration: the public-domain portrait of scikit-image speaks a sentence that the package carries.

media/sentence.flac was made with flite's slt voice (BSD-like licence):
    flite -voice slt --setf duration_stretch=1.08 --setf int_f0_target_mean=185
        -t "Hello. My name is Eileen, and I have been given a voice." 1.wav
    flite -voice slt --setf duration_stretch=1.02 --setf int_f0_target_mean=215 --setf int_f0_target_stddev=32
        -t "What a beautiful morning! I am so happy to be back." 2.wav
    flite -voice slt --setf duration_stretch=0.98 --setf int_f0_target_mean=175 --setf int_f0_target_stddev=30
        -t "But please, never put words into my mouth again!" 3.wav
joined with pauses of 0.4 and 0.35 s, 0.25 s before and 0.5 s after.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from backend.commands.shots import render_to_folder
from blender_addon.protocol.options import ShotOptions

SENTENCE = Path(__file__).parents[1] / "media" / "sentence.flac"
EMOTION = "0:neutral:0,4.3:neutral:0,4.9:happy:0.9,8.0:happy:0.9,8.7:angry:1"


def render_demo(out: Path) -> None:
    """Renders the demonstration into a folder."""
    import cv2
    from skimage import data

    with tempfile.TemporaryDirectory() as folder:
        portrait = Path(folder) / "astronaut.png"
        cv2.imwrite(str(portrait), cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR))
        render_to_folder(portrait, SENTENCE, out, emotion=EMOTION, options=ShotOptions())
