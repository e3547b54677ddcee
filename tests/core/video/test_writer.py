"""The video writer: what is in the file, and what is refused."""

from __future__ import annotations

import json
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from memflow_core.video import VideoWriter, choose_codec
from memflow_core.video.encoder import CODECS, CONTAINERS

HEIGHT, WIDTH = 48, 96
TAGS = {"workflow": json.dumps({"nodes": [{"text": "größe {"}]}), "prompt": json.dumps({"1": {"inputs": {}}})}
FORMATS = [
    (ending, name)
    for ending, (container, _) in CONTAINERS.items()
    for name, codec in CODECS.items()
    if container in codec.containers and codec.encoder in av.codecs_available
]


def stripe_colours(picture: np.ndarray) -> np.ndarray:
    """The colour in the middle of each of six stripes."""
    middle = WIDTH // 12
    return picture[HEIGHT // 2, middle :: WIDTH // 6].astype(int)


def rate_of(stream: av.VideoStream) -> Fraction:
    """Frames a second as the file says; as players make it out, where PyAV before 18 cannot say it in an mkv."""
    mute = stream.container.name.endswith(".mkv") and int(av.__version__.split(".")[0]) < 18
    return stream.guessed_rate if mute else stream.average_rate


# -- what is in the file ---------------------------------------------------------------------------------------


def test_the_codecs_that_are_promised_are_there():
    assert {(".mp4", "h264"), (".webm", "vp9"), (".mkv", "h264"), (".mkv", "vp9")} <= set(FORMATS)
    usual = [choose_codec(ending)[1] for ending in CONTAINERS]
    assert usual == [CODECS["h264"], CODECS["vp9"], CODECS["h264"]]


@pytest.mark.parametrize(("ending", "codec"), FORMATS)
def test_frames_come_back_in_number_size_rate_and_colour(ending, codec, tmp_path, stripes, read_pictures, read_tags):
    path = tmp_path / f"story{ending}"
    with VideoWriter(path, 16, codec=codec, metadata=TAGS) as writer:
        for first, count in ((0, 9), (9, 12), (21, 12), (33, 1)):
            writer.write(stripes(count, first))
            # in the file at once, not in the encoder
            assert writer.frames == len(read_pictures(writer.unfinished)) == first + count
        assert TAGS.items() <= read_tags(writer.unfinished).items()
    shown = read_pictures(path)
    assert [picture.shape for picture in shown] == [(HEIGHT, WIDTH, 3)] * 34
    for picture, frame in zip(shown, stripes(34), strict=True):
        assert abs(stripe_colours(picture) - stripe_colours(frame.numpy())).max() <= 6
    with av.open(path) as file:
        stream = file.streams.video[0]
        assert rate_of(stream) == 16
        assert file.duration == pytest.approx(34 / 16 * 1e6, abs=2000)
        context = stream.codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (
            1,
            1,
            1,
            1,
        )
        assert context.codec.canonical_name == {"h265": "hevc"}.get(codec, codec)
    assert TAGS.items() <= read_tags(path).items()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", CONTAINERS)
@pytest.mark.parametrize(
    ("fps", "rate"),
    [(0.5, Fraction(1, 2)), (12.5, Fraction(25, 2)), (23.976, Fraction(24000, 1001)), (24, 24), (60.0, 60)],
)
def test_frame_rates_are_exact(ending, fps, rate, tmp_path, stripes):
    path = tmp_path / f"story{ending}"
    with VideoWriter(path, fps) as writer:
        writer.write(stripes(40))
    with av.open(path) as file:
        times = [frame.time for frame in file.decode(video=0)]
        assert rate_of(file.streams.video[0]) == rate
        assert file.duration == pytest.approx(40 / rate * 1e6, abs=1000)
    # webm and mkv round times to milliseconds
    assert times == pytest.approx([number / rate for number in range(40)], abs=6e-4)


def test_floating_point_frames_are_rounded_and_clipped(tmp_path, read_pictures):
    levels = torch.tensor([-0.5, 0.0, 0.25, 0.5, 1.0, 7.0]).repeat_interleave(WIDTH // 6)
    frames = levels[None, None, :, None].expand(4, HEIGHT, -1, 3)
    for dtype in (torch.float32, torch.bfloat16):
        path = tmp_path / f"{dtype}.mp4"
        with VideoWriter(path, 8) as writer:
            writer.write(frames.to(dtype))
            writer.write(frames.to(dtype).float().numpy())
        expected = np.array([0, 0, 64, 128, 255, 255])[:, None]
        assert len(read_pictures(path)) == 8
        assert all(abs(stripe_colours(picture) - expected).max() <= 3 for picture in read_pictures(path))


def test_quality_is_what_is_asked_for(tmp_path):
    noise = torch.rand(8, HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(1))
    sizes = {}
    for crf in (0, None, 51):
        path = tmp_path / f"{crf}.mp4"
        with VideoWriter(path, 16, crf=crf) as writer:
            writer.write(noise)
        sizes[crf] = path.stat().st_size
    assert sizes[51] < sizes[None] / 4 < sizes[0]


# -- where ComfyUI's front end looks for the workflow ----------------------------------------------------------


def boxes(data: bytes) -> dict[bytes, bytes]:
    found, at = {}, 0
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        found[kind] = data[at + 8 : at + size]
        at += size
    return found


def mp4_tags(data: bytes) -> dict[str, str]:
    """moov / udta / meta, with names in `keys` and values in the `ilst` items of the same number."""
    meta = boxes(boxes(boxes(data)[b"moov"])[b"udta"])[b"meta"][4:]
    names, at = [], 8
    listed, items = boxes(meta)[b"keys"], boxes(meta)[b"ilst"]
    while at < len(listed):
        size = int.from_bytes(listed[at : at + 4], "big")
        names.append(listed[at + 8 : at + size].decode())
        at += size
    values = [boxes(item)[b"data"][8:].decode() for _, item in sorted(boxes(items).items())]
    return dict(zip(names, values, strict=True))


def test_an_mp4_has_its_tags_under_their_names_before_the_pictures(tmp_path, stripes):
    path = tmp_path / "story.mp4"
    with VideoWriter(path, 16, metadata=TAGS) as writer:
        writer.write(stripes(20))
        assert TAGS.items() <= mp4_tags(writer.unfinished.read_bytes()).items()
    data = path.read_bytes()
    assert TAGS.items() <= mp4_tags(data).items()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("ending", [".webm", ".mkv"])
def test_a_matroska_file_has_its_tags_before_the_pictures(ending, tmp_path, stripes):
    path = tmp_path / f"story{ending}"
    with VideoWriter(path, 16, metadata=TAGS) as writer:
        writer.write(stripes(20))
        writer.write(stripes(20))
        unfinished = writer.unfinished.read_bytes()
    for data in (unfinished, path.read_bytes()):
        first_cluster = data.index(b"\x1f\x43\xb6\x75")
        for name, value in TAGS.items():
            # SimpleTag: TagName, then TagString
            assert data.index(b"\x45\xa3") < data.index(name.upper().encode()) < first_cluster
            assert data.index(b"\x44\x87") < data.index(value.encode()) < first_cluster


# -- bad input -------------------------------------------------------------------------------------------------


def test_odd_sizes_are_refused_before_there_is_a_file(tmp_path):
    for height, width in ((33, 64), (64, 33)):
        with pytest.raises(ValueError, match=f"{width} x {height}.*even"):
            VideoWriter(tmp_path / "story.mp4").write(torch.zeros(1, height, width, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.zeros(2, 32, 32), r"\[2, 32, 32\]"),
        (torch.zeros(2, 3, 32, 32), r"\[2, 3, 32, 32\]"),
        (torch.zeros(2, HEIGHT, WIDTH, 3, dtype=torch.int64), "int64"),
        (torch.full((2, HEIGHT, WIDTH, 3), float("nan")), "NaN"),
        (torch.zeros(2, HEIGHT, WIDTH + 2, 3), f"{WIDTH} x {HEIGHT}.*{WIDTH + 2} x {HEIGHT}"),
    ],
)
def test_frames_that_do_not_fit_are_refused_and_the_video_goes_on(frames, message, tmp_path, stripes, read_pictures):
    with VideoWriter(tmp_path / "story.mp4") as writer:
        writer.write(stripes(5))
        with pytest.raises(ValueError, match=message):
            writer.write(frames)
        writer.write(stripes(5))
    assert len(read_pictures(tmp_path / "story.mp4")) == 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "story.avi"}, r"\.mp4, \.webm, \.mkv.*\.avi"),
        ({"path": "story.webm", "codec": "h264"}, r"h264.*\.webm.*vp9"),
        ({"path": "story.mp4", "codec": "mpeg1"}, r"mpeg1.*h264"),
        ({"path": "story.mp4", "fps": 0}, "fps is 0"),
        ({"path": "story.mp4", "fps": float("nan")}, "fps is nan"),
        ({"path": "story.mp4", "crf": 52}, "crf is 52.*51"),
        ({"path": "story.webm", "crf": -1}, "crf is -1.*63"),
        ({"path": "story.mp4", "metadata": {"workflow": {"nodes": []}}}, "workflow.*dict.*json"),
    ],
)
def test_senseless_settings_are_refused(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        VideoWriter(tmp_path / settings.pop("path"), **settings)
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_to_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        VideoWriter(tmp_path / "missing" / "story.mp4")
    (tmp_path / "story.mp4").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        VideoWriter(tmp_path / "story.mp4")
