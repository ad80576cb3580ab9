"""The published files that can be brought: what each holds, where its project publishes it, and what its licence is.

The layout of a file is what its project's loading code expects.
"""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors import InputError

_SADTALKER = "https://github.com/OpenTalker/SadTalker/releases/download/v0.0.2-rc/"
_SADTALKER_OLD = "https://github.com/Winfredy/SadTalker/releases/download/v0.0.2/"
_EAMM = "https://drive.google.com/file/d/1IL9LjH3JegyMqJABqMxrX3StAq_v8Gtp/view"


@dataclass(frozen=True)
class Licence:
    """name; sells: whether results may be sold ('yes', 'no' or 'ask'); note: why, and what to heed."""

    name: str
    sells: str
    note: str


@dataclass(frozen=True)
class Part:
    """A network inside a file: under a key of the unpickled mapping, behind a prefix of flat keys, or the file itself.

    ours: whether the keys are this project's already.
    """

    network: str
    key: str | None = None
    prefix: str = ""
    ours: bool = False


@dataclass(frozen=True)
class PublishedFile:
    """A file of a project: name here, file name there, address (None: none is known), and what it holds.

    by_hand: whether the address leads to a page for people. sha256: as published, None where its project names none.
    """

    name: str
    file: str
    project: str
    address: str | None
    licence: Licence
    parts: tuple[Part, ...]
    by_hand: bool = False
    sha256: str | None = None


SADTALKER = Licence(
    "Apache-2.0", "ask", "its README lifts the non-commercial limit; its training used the Basel Face Model"
)
RECONSTRUCTION = Licence("MIT", "ask", "Deep3DFaceRecon's code is MIT; its training used the Basel Face Model")
EAMM = Licence("MIT code, none named for the weights", "ask", "trained on LRW and MEAD, which are for research")
SYNCNET = Licence("MIT code, none named for the weights", "yes", "only measures; nothing of it is in a result")
OWN = Licence("as you trained it", "ask", "depends on the clips that you trained it on")


def _current(size: int) -> PublishedFile:
    parts = {
        "generator.": "facevid2vid.generator", "kp_extractor.": "facevid2vid.keypoints",
        "audio2exp.": "sadtalker.audio2exp", "audio2pose.": "sadtalker.audio2pose", "face_3drecon.": "reconstruction",
    }  # fmt: skip
    file = f"SadTalker_V0.0.2_{size}.safetensors"
    return PublishedFile(
        f"sadtalker-{size}",
        file,
        "SadTalker",
        _SADTALKER + file,
        SADTALKER,
        tuple(Part(network, prefix=prefix) for prefix, network in parts.items()),
    )


def _pickled(
    name: str, file: str, project: str, folder: str | None, licence: Licence, *, by_hand: bool = False, **parts: str
) -> PublishedFile:
    """A pickled file; parts: key of the mapping → network, with '__' for a dot in the network's name."""
    address = folder if folder is None or by_hand else folder + file
    held = tuple(Part(network, key=key) for key, network in parts.items())
    return PublishedFile(name, file, project, address, licence, held, by_hand=by_hand)


FILES = (
    _current(256),
    _current(512),
    _pickled(
        "sadtalker-mapping", "mapping_00229-model.pth.tar", "SadTalker", _SADTALKER, SADTALKER,
        mapping="facevid2vid.mapping",
    ),
    _pickled(
        "sadtalker-mapping-crop", "mapping_00109-model.pth.tar", "SadTalker", _SADTALKER, SADTALKER,
        mapping="facevid2vid.mapping_crop",
    ),
    _pickled(
        "facevid2vid-old", "facevid2vid_00189-model.pth.tar", "SadTalker (old)", _SADTALKER_OLD, SADTALKER,
        generator="facevid2vid.generator", kp_detector="facevid2vid.keypoints", he_estimator="facevid2vid.head_pose",
    ),
    _pickled(
        "audio2exp-old", "auido2exp_00300-model.pth", "SadTalker (old)", _SADTALKER_OLD, SADTALKER,
        model="sadtalker.audio2exp",
    ),
    _pickled(
        "audio2pose-old", "auido2pose_00140-model.pth", "SadTalker (old)", _SADTALKER_OLD, SADTALKER,
        model="sadtalker.audio2pose",
    ),
    _pickled(
        "reconstruction", "epoch_20.pth", "Deep3DFaceRecon", _SADTALKER_OLD, RECONSTRUCTION,
        net_recon="reconstruction",
    ),
    _pickled(
        "eamm-generator", "124_52000.pth.tar", "EAMM", _EAMM, EAMM, by_hand=True,
        generator="eamm.generator", kp_detector="eamm.keypoints",
    ),
    _pickled(
        "eamm-audio", "1-6000.pth.tar", "EAMM", _EAMM, EAMM, by_hand=True,
        audio_feature="eamm.audio_features", kp_detector_a="eamm.audio_keypoints",
    ),
    _pickled("eamm-emotion", "5-3000.pth.tar", "EAMM", _EAMM, EAMM, by_hand=True, emo_detector="eamm.emotion"),
    PublishedFile(
        "syncnet", "syncnet_v2.model", "SyncNet",
        "http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model", SYNCNET, (Part("syncnet"),),
    ),
    PublishedFile(
        "emospeaker-mapping", "emospeaker_mapping.safetensors", "EmoSpeaker (trained by you)", None, OWN,
        (Part("facevid2vid.mapping_emotion", ours=True),),
    ),
)  # fmt: skip


def find_file(name: str) -> PublishedFile:
    """A published file by its name here or its file name. Raises InputError naming the known ones."""
    for file in FILES:
        if name in (file.name, file.file):
            return file
    raise InputError(f"No weights are known as '{name}': use one of {', '.join(file.name for file in FILES)}.")


def files_with(network: str) -> list[PublishedFile]:
    """The published files that hold a network, in the order of the table."""
    return [file for file in FILES if any(part.network == network for part in file.parts)]
