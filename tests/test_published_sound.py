"""Mel windows, MFCC, SyncNet and the aligned crop give what the published code gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from published_reference import case, network, published_state

from backend.audio import mel
from backend.audio.mfcc import mfcc, syncnet_windows
from backend.checkpoints.importing import import_file
from backend.evaluation.lip_sync import lip_sync
from backend.evaluation.video_report import public_networks
from backend.neural.alignment import align, fit_position, five_points

pytestmark = pytest.mark.shared


def test_mel_windows():
    given = case("sadtalker_mel")
    given.check("mel_basis", mel.mel_filters())
    given.check("preemphasis_speech_first1000", mel.pre_emphasis(given.inputs["speech_16k"])[:1000])
    given.check("mel_chirp", mel.mel_spectrogram(given.inputs["chirp_16k"]))
    given.check("mel_speech", mel.mel_spectrogram(given.inputs["speech_16k"]))
    given.check("window_start_index", mel.window_starts(75))
    given.check("indiv_mels_speech", mel.sadtalker_windows(given.inputs["speech_16k"]))


def test_syncnet_mfcc():
    given = case("syncnet_mfcc")
    given.check("mfcc_13xT", mfcc(given.inputs["audio_int16"]).T)
    given.check("window_frame10", syncnet_windows(given.inputs["audio_int16"])[10:11])


def test_syncnet_embeddings():
    given = case("syncnet_s")
    net = network("syncnet")
    lips = given["lip_uint8"].float()
    with torch.inference_mode():
        given.check("lip_feature_512", net.lip_features(lips))
        given.check("lip_embedding", net.embed_lips(lips))
        given.check("audio_embedding", net.embed_sound(given["audio_mfcc"]))


def test_an_imported_syncnet_judges_videos_as_the_published_one(tmp_path, monkeypatch):
    monkeypatch.setenv("EMORIG_WEIGHTS", str(tmp_path / "weights"))
    assert any("SyncNet was not measured" in note for note in public_networks(None)[2])
    given = case("syncnet_s")
    state = published_state("syncnet_s")
    state = {key: value.reshape(()) if key.endswith("num_batches_tracked") else value for key, value in state.items()}
    torch.save(state, tmp_path / "syncnet_v2.model")
    import_file(tmp_path / "syncnet_v2.model")
    _, sync, notes = public_networks(None)
    assert sync is not None and not any("SyncNet" in note for note in notes)
    lips, sound = given["lip_uint8"].float(), given["audio_mfcc"]
    given.check(
        "lip_embedding", torch.from_numpy(sync._embedded(lambda rows: sync._network.embed_lips(lips[rows]), len(lips)))
    )
    given.check(
        "audio_embedding",
        torch.from_numpy(sync._embedded(lambda rows: sync._network.embed_sound(sound[rows]), len(sound))),
    )


def test_syncnet_offset():
    given = case("syncnet_offset")
    found = lip_sync(given.inputs["lip_features"], given.inputs["audio_features"])
    given.check("dists", found.distances)
    given.check("mdist", found.means)
    given.check("min_dist", found.distance)
    given.check("min_index", 15 - found.offset)
    given.check("offset", found.offset)
    given.check("confidence", found.confidence)
    given.check("frame_confidence_medfilt9", found.frame_confidence())


def test_alignment():
    given = case("sadtalker_align")
    image = given.inputs["image"]
    landmarks = given.inputs["landmarks68"].astype(np.float64)
    landmarks[:, 1] = len(image) - 1 - landmarks[:, 1]
    translation, scale = fit_position(five_points(landmarks), given.inputs["lm3d_5"])
    given.check("pos_t", translation[:, None])
    given.check("pos_s", scale)
    found = align(image.shape[1], image.shape[0], landmarks, given.inputs["lm3d_5"])
    given.check("trans_params", [found.width, found.height, found.scale, found.x, found.y])
    given.check("image224", found.crop(image))
    given.check("lm_new", found.landmarks(landmarks))
