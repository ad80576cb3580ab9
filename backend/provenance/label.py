"""Labels every video: a faint watermark in its frames and a signed C2PA manifest that says how it was made."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from backend.errors import InputError, OutputError
from backend.inference.emotion_video import EmotionVideo
from backend.provenance.signing import SigningCertificate, own_certificate
from blender_addon.protocol.options import ShotOptions
from blender_addon.protocol.types import AnimationCurves, EmotionTrack

if TYPE_CHECKING:
    from backend.provenance.watermark import Watermark
    from bfm.coefficients import FaceCoefficients

PROGRAM, VERSION = "EmoRig", "0.1.0"
SHOT_ASSERTION = "org.emorig.shot"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
VIDEO_TYPES = {".mp4": "video/mp4", ".mov": "video/quicktime"}
MARKED_BY_US, MARKED_ELSEWHERE = "emorig", "other means"
NO_CONSENT = "Nothing was stated about the consent of the person shown and heard."
MAX_CONSENT = 2000  # characters
SWITCH_VARIABLE = "EMORIG_MARKING"
CERTIFICATE_VARIABLE, KEY_VARIABLE = "EMORIG_CERTIFICATE", "EMORIG_CERTIFICATE_KEY"
IDENTITY_BYTES = 6


@dataclass(frozen=True)
class Marking:
    """How videos are labelled: whether by us, with whose certificate (None: self-made), and what is said of consent."""

    is_on: bool = True
    certificate: Path | None = None
    key: Path | None = None
    consent: str = NO_CONSENT

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise InputError("A certificate needs its key and a key its certificate: give both or neither.")
        if len(self.consent) > MAX_CONSENT:
            raise InputError(f"The consent statement should have at most {MAX_CONSENT} characters.")

    @classmethod
    def chosen(
        cls, *, unmarked: bool = False, certificate: Path | None = None, key: Path | None = None, consent: str = ""
    ) -> Marking:
        """What was chosen on the command line, and by the environment where nothing was."""
        switch = os.environ.get(SWITCH_VARIABLE, "on")
        if switch not in ("on", "off"):
            raise InputError(f"{SWITCH_VARIABLE} should be 'on' or 'off', got '{switch}'.")
        if certificate is None and key is None:
            certificate, key = (_path_in(name) for name in (CERTIFICATE_VARIABLE, KEY_VARIABLE))
        return cls(not unmarked and switch == "on", certificate, key, consent.strip() or NO_CONSENT)

    def signer(self) -> SigningCertificate:
        """The certificate that signs. Raises InputError."""
        if self.certificate is None:
            return own_certificate()
        return SigningCertificate.read(self.certificate, self.key)


def _path_in(variable: str) -> Path | None:
    value = os.environ.get(variable)
    return Path(value) if value else None


@dataclass(frozen=True)
class Label:
    """What a video is labelled with: the settings it was made with; 48 bits in its frames name what it shows.

    carried: the identity that frames carry already, where only some of a video's were made again.
    """

    settings: Mapping[str, object]
    marking: Marking
    carried: int | None = None

    def of(self, coefficients: FaceCoefficients) -> Label:
        """The label of a video that shows these coefficients."""
        digest = hashlib.sha256()
        for array in (coefficients.expression, coefficients.rotation, coefficients.translation):
            digest.update(array.tobytes())
        return replace(self, settings={**self.settings, "coefficients": {"sha256": digest.hexdigest()}})

    @property
    def identity(self) -> int:
        """The watermark's 48 bits: equal portraits, sound, coefficients and sizes give equal ones."""
        if self.carried is not None:
            return self.carried
        options = {
            name: self.settings["options"][name] for name in ("fps", "size", "start", "end", "renderer", "background")
        }
        shown = {name: self.settings.get(name) for name in ("portrait", "audio", "coefficients")} | options
        canonical = json.dumps(shown, sort_keys=True, separators=(",", ":")).encode()
        return int.from_bytes(hashlib.sha256(canonical).digest()[:IDENTITY_BYTES], "big")

    def watermark(self, frame_rate: float) -> Watermark:
        """The writer of the mark into one video's frames."""
        from backend.provenance.watermark import Watermark

        return Watermark(self.identity, frame_rate=frame_rate)


def label_shot(
    portrait: Path | bytes,
    audio: Path | bytes,
    *,
    emotion: EmotionTrack | EmotionVideo | None,
    curves: AnimationCurves | None = None,
    options: ShotOptions,
    marking: Marking,
) -> Label | None:
    """The label of a shot's video, or None where the user marks by other means."""
    if not marking.is_on:
        return None
    settings = shot_settings(portrait, audio, emotion=emotion, options=options)
    for source in _sources(settings):
        settings[source].pop("name")  # a manifest goes out with the video: the hash tells the file, its name may not
    if settings["emotion_video"] is not None:
        settings["emotion"] = None
    # What is said goes out with the sound; the words as such are the user's.
    settings["script"] = {"sha256": hashlib.sha256(json.dumps(settings["script"]).encode()).hexdigest()}
    if curves is not None:
        settings["curves"] = {"sha256": hashlib.sha256(curves.weights.tobytes()).hexdigest()}
    return Label(settings, marking)


def _sources(settings: Mapping[str, object]) -> tuple[str, ...]:
    """The files that a shot was made of."""
    return tuple(name for name in ("portrait", "audio", "emotion_video") if settings[name] is not None)


def shot_settings(
    portrait: Path | bytes | None,
    audio: Path | bytes,
    *,
    emotion: EmotionTrack | EmotionVideo | None,
    options: ShotOptions,
) -> dict[str, object]:
    """Everything that is needed to make a shot again, as JSON values."""
    return {
        "program": "emorig",
        "version": VERSION,
        "portrait": fingerprint(portrait),
        "audio": fingerprint(audio),
        "emotion": None if emotion is None else json.loads(emotion.to_json())["keys"],
        "emotion_video": fingerprint(emotion.path) if isinstance(emotion, EmotionVideo) else None,
        "options": {
            "fps": options.frame_rate,
            "size": options.size,
            "pose": options.pose,
            "layers": dict(options.strengths),
            "muted": list(options.muted),
            "seed": options.seed,
            "layer_seeds": dict(options.seeds),
            "hearing": options.hearing,
            "renderer": options.renderer,
            "start": options.start,
            "end": options.end,
            "background": options.background,
        },
        "script": {
            "language": options.script.language,
            "text": options.script.text,
            "phones": [[phone.start, phone.end, phone.label] for phone in options.script.phones],
        },
    }


def fingerprint(source: Path | bytes | None) -> dict[str, object] | None:
    """Name, size and sha256 of an input."""
    if source is None:
        return None
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    name = None if isinstance(source, bytes) else Path(source).name
    return {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def video_type(path: Path) -> str:
    """The media type of a video file, by its suffix."""
    return VIDEO_TYPES.get(path.suffix.lower(), VIDEO_TYPES[".mp4"])


def sign_video(path: Path, label: Label) -> None:
    """Adds the signed manifest to a finished video file; nothing may change it afterwards. Raises InputError."""
    import c2pa

    certificate = label.marking.signer()
    information = c2pa.C2paSignerInfo(
        alg=certificate.algorithm.encode(), sign_cert=certificate.chain, private_key=certificate.key, ta_url=None
    )
    partial = path.with_name(f".{path.name}.signed")
    try:
        signer = c2pa.Signer.from_info(information)
        builder = c2pa.Builder(_manifest(label, path))
        with path.open("rb") as source, partial.open("w+b") as target:
            builder.sign(signer, video_type(path), source, target)
        os.replace(partial, path)
    except c2pa.C2paError as error:
        raise InputError(f"The video cannot be signed with this certificate: {error}.") from error
    except OSError as error:
        raise OutputError(f"The signed video cannot be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)


def _manifest(label: Label, path: Path) -> dict[str, object]:
    """The C2PA manifest before it is signed; ingredients stand by their hashes alone."""
    agent = {"name": PROGRAM, "version": VERSION}
    action = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE, "softwareAgent": agent}
    shot = dict(label.settings) | {"watermark": identity_text(label.identity), "consent": label.marking.consent}
    ingredients = [
        {
            "title": source,
            "format": "application/octet-stream",
            "relationship": "inputTo",
            "instance_id": f"sha256:{label.settings[source]['sha256']}",
        }
        for source in _sources(label.settings)
    ]
    return {
        "claim_generator_info": [agent],
        "title": path.name,
        "format": video_type(path),
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": [action]}},
            {"label": SHOT_ASSERTION, "data": shot},
        ],
        "ingredients": ingredients,
    }


def identity_text(identity: int) -> str:
    """A watermark's identity as 12 hexadecimal digits."""
    return f"{identity:0{2 * IDENTITY_BYTES}x}"


def provenance_record(video: Path | None, *, marking: Marking) -> dict[str, object]:
    """What settings.json says of a video's label, read from the video itself; consent stands there in any case."""
    record: dict[str, object] = {"consent": marking.consent}
    if video is None:
        return record
    from backend.provenance.verification import read_manifest

    manifest = read_manifest(video)
    record["marked_by"] = MARKED_ELSEWHERE if manifest is None else MARKED_BY_US
    record["watermark"] = None if manifest is None else manifest.watermark
    record["video"] = fingerprint(video)
    return record
