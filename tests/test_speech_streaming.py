"""Streaming lips: what is heard later than the look-ahead changes nothing, nor does the size of the pieces."""

import json

import numpy as np
import pytest
import torch

from backend.audio.articulation import ARTICULATORS
from backend.audio.features import QUIETEST, SAMPLE_RATE, log_mels
from backend.audio.running_level import RunningLevel
from backend.errors import InputError
from backend.inference.streaming import STEP, StreamingArticulator, articulate_streaming
from backend.models.streaming import StreamingNetwork, StreamingNetworkConfig
from blender_addon.protocol.types import Waveform

PROMISED = 0.150  # seconds of look-ahead at most


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a small network that nobody trained; its answers swing more than a trained one's."""
    from dataclasses import asdict

    from safetensors.torch import save_file

    torch.manual_seed(1)
    config = StreamingNetworkConfig(width=24, recurrent_width=16, dilations=(1, 2))
    network = StreamingNetwork(config)
    with torch.no_grad():
        network.motion[-1].weight.mul_(30.0)
        network.phones.weight.mul_(10.0)
        network.usual_spectrum.copy_(torch.linspace(-1.0, -4.0, 80))
    path = tmp_path_factory.mktemp("weights") / "streaming.safetensors"
    metadata = {"config": json.dumps(asdict(config)), "articulators": json.dumps(ARTICULATORS)}
    save_file(network.state_dict(), str(path), metadata=metadata)
    return path


@pytest.fixture(scope="module")
def sound():
    """Two seconds of loud and soft noise in changing colours."""
    rng = np.random.default_rng(5)
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * (200 + 150 * np.sin(2 * np.pi * 3 * time)) * time)
    return ((0.3 * tone + 0.1 * rng.standard_normal(len(time))) * np.clip(np.sin(9 * time), 0.02, 1)).astype(np.float32)


def _streamed(samples, weights, *, pieces, rate=25.0, **options):
    stream = StreamingArticulator(rate, weights=weights, **options)
    parts, at, index = [], 0, 0
    while at < len(samples):
        size = pieces[index % len(pieces)]
        parts.append(stream.push(samples[at : at + size]))
        at, index = at + size, index + 1
    parts.append(stream.finish())
    firsts = np.cumsum([0] + [len(p.weights) for p in parts])
    assert [p.first for p in parts] == list(firsts[:-1])
    return np.concatenate([p.weights for p in parts])


@pytest.mark.parametrize("pieces", [[STEP], [1, 7, 501, 4000], [10**6]])
def test_the_size_of_the_pieces_changes_nothing(weights, sound, pieces):
    expected = _streamed(sound, weights, pieces=[160])
    np.testing.assert_array_equal(_streamed(sound, weights, pieces=pieces), expected)
    assert expected.shape == (50, 64) and expected.std() > 0.01


@pytest.mark.parametrize("rate", [24.0, 25.0, 60.0])
def test_sound_after_the_look_ahead_changes_nothing(weights, sound, rate):
    assert StreamingArticulator(rate, weights=weights).look_ahead <= PROMISED
    expected = _streamed(sound, weights, pieces=[STEP], rate=rate)
    rng = np.random.default_rng(0)
    for moment in (0.5, 0.83, 1.21):
        later = sound.copy()
        cut = round((moment + PROMISED) * SAMPLE_RATE)
        later[cut:] = rng.uniform(-1, 1, len(later) - cut)
        got = _streamed(later, weights, pieces=[STEP], rate=rate)
        kept = int(moment * rate) + 1
        np.testing.assert_array_equal(got[:kept], expected[:kept])
        assert np.abs(got[kept:] - expected[kept:]).max() > 0.01


def test_frames_come_no_later_than_the_look_ahead(weights, sound):
    stream, rate = StreamingArticulator(25.0, weights=weights), 25.0
    n_frames = 0
    for start in range(0, len(sound), STEP):
        n_frames += len(stream.push(sound[start : start + STEP]).weights)
        heard = (start + STEP) / SAMPLE_RATE
        assert (n_frames + 1) / rate >= heard - PROMISED - STEP / SAMPLE_RATE - 1 / rate


def test_a_state_carried_over_is_the_whole_pass():
    torch.manual_seed(0)
    network = StreamingNetwork(StreamingNetworkConfig(width=16, recurrent_width=8, dilations=(1, 4))).eval()
    mels = torch.randn(2, 40, 80)
    with torch.inference_mode():
        whole = network(mels)[0]
        state, parts = None, []
        for start in range(0, 40, 8):
            out, state = network(mels[:, start : start + 8], state)
            parts.append(out.articulators)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole.articulators, atol=1e-5, rtol=1e-5)


def test_the_running_level_takes_out_the_gain(sound):
    def seen(gain):
        mels = log_mels(gain * sound)
        return RunningLevel.begin(np.linspace(-1, -4, 80)).normalise(mels)[0]

    # After the first syllable a ten times softer recording looks the same.
    assert np.abs(seen(1.0)[60:] - seen(0.1)[60:]).max() < 0.2
    level = RunningLevel.begin(np.zeros(80))
    level.normalise(np.full((300, 80), -30.0, np.float32))
    assert level.loudness == pytest.approx(QUIETEST)


def test_silence_and_gaps_are_a_closed_mouth(weights):
    nothing = _streamed(np.zeros(SAMPLE_RATE, np.float32), weights, pieces=[STEP])
    assert nothing.shape == (25, 64) and nothing.max() < 1e-6
    assert _streamed(np.full(8000, np.nan, np.float32), weights, pieces=[999]).max() < 1e-6
    assert len(_streamed(np.zeros(0, np.float32), weights, pieces=[1])) == 1


def test_other_sample_rates_and_offsets_give_the_same_lips(weights, sound):
    plain = _streamed(sound, weights, pieces=[STEP])
    shifted = _streamed(sound * 0.5 + 0.4, weights, pieces=[STEP])
    assert np.corrcoef(plain[12:].ravel(), shifted[12:].ravel())[0, 1] > 0.95
    doubled = np.repeat(sound, 3)
    faster = _streamed(doubled, weights, pieces=[1000], sample_rate=48000)
    assert faster.shape == plain.shape
    whole = articulate_streaming(Waveform(sound, SAMPLE_RATE), 25.0, weights=weights)
    np.testing.assert_array_equal(whole.weights, plain)
    assert whole.phones[0].start == 0.0 and whole.phones[-1].end == pytest.approx(2.0)


def test_misuse_is_refused_in_words(weights, tmp_path):
    with pytest.raises(InputError, match="frame rate"):
        StreamingArticulator(0.0, weights=weights)
    with pytest.raises(InputError, match="sample rate"):
        StreamingArticulator(25.0, sample_rate=0, weights=weights)
    with pytest.raises(InputError, match="missing"):
        StreamingArticulator(25.0, weights=tmp_path / "none.safetensors")
    stream = StreamingArticulator(25.0, weights=weights)
    stream.finish()
    with pytest.raises(InputError, match="finished"):
        stream.push(np.zeros(10))


def test_a_live_face_is_sent_as_it_is_heard(weights, sound, monkeypatch):
    import io
    import socket
    from dataclasses import replace

    from backend.commands.live import send_live
    from backend.export.live_link_udp import decode
    from backend.inference.live import LiveFace
    from backend.weights import NETWORKS
    from blender_addon.protocol.options import ShotOptions
    from blender_addon.protocol.types import ARKIT_NAMES, EmotionTrack

    monkeypatch.setitem(NETWORKS, "streaming", replace(NETWORKS["streaming"], file=str(weights)))
    options = ShotOptions(frame_rate=30.0, seed=2, renderer=None)
    raw = (sound * 32767).astype("<i2").tobytes()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5.0)
        to = f"127.0.0.1:{listener.getsockname()[1]}"
        face = LiveFace(EmotionTrack.parse("happy:1"), options=options)
        assert send_live(face, io.BytesIO(raw), to, rate=SAMPLE_RATE, subject="Ada") == 60
        packets = [decode(listener.recv(2048)) for _ in range(60)]
    assert [p.frame for p in packets] == list(range(60)) and packets[0].subject == "Ada"
    values = np.stack([p.values for p in packets])
    lips = StreamingArticulator(30.0, weights=weights)
    shut = np.concatenate([lips.push(sound).weights, lips.finish().weights])
    smile = values[:, ARKIT_NAMES.index("mouthSmileLeft")]
    assert (smile > shut[:, ARKIT_NAMES.index("mouthSmileLeft")] + 0.2).mean() > 0.9
    assert values[:, ARKIT_NAMES.index("eyeBlinkLeft")].max() > 0.5
