"""Videos hold exactly the frames, rates and backgrounds that were asked for, and a few frames can be replaced."""

from fractions import Fraction

import av
import numpy as np
import pytest
import skimage.data

from backend.errors import InputError
from backend.portrait.analysis import analyse_portrait
from backend.portrait.renderer import BLACK, WarpRenderer
from backend.splice import faded, read_footage, splice_video
from backend.video import VideoWriter
from bfm.coefficients import FaceCoefficients
from blender_addon.protocol.options import ShotOptions

RATES = {24: Fraction(24), 25: Fraction(25), 30: Fraction(30), 50: Fraction(50), 60: Fraction(60),
         23.976: Fraction(24000, 1001), 29.97: Fraction(30000, 1001)}  # fmt: skip


def picture(index, shift=0):
    y, x = np.mgrid[:64, :96]
    return np.stack([x + 2 * index, y + shift, (x + y) // 2], axis=-1).astype(np.uint8)


def written(path, images, rate, sentence):
    height, width = images[0].shape[:2]
    with VideoWriter(
        path, width=width, height=height, frame_rate=rate, audio=sentence, end=len(images) / rate
    ) as writer:
        for image in images:
            writer.write(image)
    return path


def decoded(path, form="rgb24"):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format=form).astype(int) for frame in container.decode(video=0)]


def packets(path, kind):
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(p.pts, bytes(p)) for p in container.demux(stream) if p.dts is not None]


@pytest.mark.parametrize("rate", RATES)
def test_frame_rates_are_exact(tmp_path, sentence, rate):
    path = written(tmp_path / "video.mp4", [picture(i) for i in range(31)], rate, sentence)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [frame.pts * frame.time_base for frame in container.decode(stream)]
        assert stream.average_rate == RATES[rate]
        assert stream.frames == len(times) == 31
        assert stream.duration * stream.time_base == 31 / RATES[rate]
        assert times == [i / RATES[rate] for i in range(31)]
        sound = container.streams.audio[0]
        assert abs(float(sound.duration * sound.time_base) - 31 / rate) < 0.03


@pytest.mark.parametrize("rate", [25, 29.97])
def test_replacing_frames_copies_everything_outside_their_seconds(tmp_path, sentence, rate):
    before = written(tmp_path / "before.mp4", [picture(i) for i in range(100)], rate, sentence)
    after = tmp_path / "after.mp4"
    splice_video(before, after, [picture(i, 90) for i in range(40, 45)], first=40, last=45)
    assert read_footage(after) == read_footage(before)
    assert packets(after, "audio") == packets(before, "audio")
    old, new = decoded(before), decoded(after)
    change = [np.abs(a - b).mean() for a, b in zip(old, new)]
    assert max(change[:25] + change[62:]) == 0.0
    assert max(change[25:40] + change[45:62]) < 2.5  # encoded once more
    assert all(np.abs(new[i] - picture(i, 90)).mean() < 4.0 for i in range(40, 45))
    assert not list(tmp_path.glob(".*"))


def test_a_video_of_another_making_is_refused_and_nothing_is_left(tmp_path, sentence):
    other = tmp_path / "other.mp4"
    with av.open(str(other), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.options = {"preset": "ultrafast", "profile": "baseline"}
        for i in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(i), format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(InputError, match="other settings"):
        splice_video(other, tmp_path / "after.mp4", [picture(5)], first=5, last=6)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.mp4"]
    with pytest.raises(InputError, match="render it whole"):
        read_footage(tmp_path / "absent.mp4")


def coefficients(level, n_frames=50):
    zeros = np.zeros((n_frames, 3), np.float32)
    return FaceCoefficients(
        identity=np.zeros(80, np.float32), texture=np.zeros(80, np.float32),
        expression=np.full((n_frames, 64), level, np.float32), rotation=zeros, translation=zeros,
        lighting=np.zeros(27, np.float32), frame_rate=25.0,
    )  # fmt: skip


def test_new_motion_fades_in_and_out_inside_its_range():
    level = faded(coefficients(0.0), coefficients(1.0), 10, 35).expression[:, 0]
    assert (level[:10] == 0.0).all()
    assert (level[35:] == 0.0).all()
    assert (level[15:30] == 1.0).all()
    assert np.abs(np.diff(level)).max() < 0.4
    whole = faded(coefficients(0.0), coefficients(1.0), 0, 50).expression
    assert (whole == 1.0).all()
    with pytest.raises(InputError, match="40 frames"):
        faded(coefficients(0.0), coefficients(1.0, n_frames=40), 0, 10)


@pytest.fixture(scope="module")
def portrait():
    return analyse_portrait(skimage.data.astronaut())


def at_rest(portrait):
    fit = portrait.fit
    return FaceCoefficients(
        identity=fit.identity, texture=fit.texture, expression=fit.expression[None], rotation=fit.rotation[None],
        translation=fit.translation[None], lighting=fit.lighting, frame_rate=25.0,
    )  # fmt: skip


def test_backgrounds_are_replaced_and_the_face_is_not(portrait, tmp_path, sentence):
    rest = at_rest(portrait)
    kept = WarpRenderer(portrait, size=256).render(rest, 0).astype(int)
    green = WarpRenderer(portrait, size=256, backdrop=np.float32([0, 255, 0])).render(rest, 0).astype(int)
    clear = WarpRenderer(portrait, size=256, backdrop=BLACK).render_with_alpha(rest, 0)
    face = (slice(45, 70), slice(102, 122))
    wall = (slice(2, 30), slice(2, 60))
    assert (green[wall] == [0, 255, 0]).all()
    assert (clear[wall][..., 3] == 0).all()
    assert (clear[face][..., 3] == 255).all()
    assert np.abs(green[face] - kept[face]).max() <= 2
    assert np.abs(clear[face][..., :3].astype(int) - kept[face]).max() <= 2
    edge = (clear[..., 3] > 40) & (clear[..., 3] < 215)
    assert edge.any()
    path = written(tmp_path / "clear.mov", [clear] * 5, 25, sentence)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "prores"
        assert "a" in container.streams.video[0].codec_context.pix_fmt
    stored = decoded(path, "rgba")
    assert len(stored) == 5
    assert np.abs(stored[2][..., 3] - clear[..., 3]).max() <= 3
    assert np.abs(stored[2][face] - clear[face]).mean() < 3


@pytest.mark.parametrize("background", ["green", "#12345", "#gg0000", ""])
def test_unknown_backgrounds_are_refused(background):
    with pytest.raises(InputError, match="#rrggbb"):
        ShotOptions(background=background)
