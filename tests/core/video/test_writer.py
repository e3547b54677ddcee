"""The video writer: what is in the file, and what is left of it when something goes wrong."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from memflow_core.video import VideoWriter, choose_codec
from memflow_core.video.encoder import CODECS, CONTAINERS

ROOT = Path(__file__).resolve().parents[3]
HEIGHT, WIDTH = 48, 96
COLOURS = torch.tensor([[220, 30, 40], [30, 190, 50], [40, 60, 230], [128, 128, 128], [250, 240, 20], [12, 12, 12]])
TAGS = {"workflow": json.dumps({"nodes": [{"text": "größe {"}]}), "prompt": json.dumps({"1": {"inputs": {}}})}
FORMATS = [
    (ending, name)
    for ending, (container, _) in CONTAINERS.items()
    for name, codec in CODECS.items()
    if container in codec.containers and codec.encoder in av.codecs_available
]


def stripes(frames: int, first: int = 0) -> torch.Tensor:
    """uint8 [F, H, W, 3]: six coloured stripes that change places every four frames."""
    order = [COLOURS.roll(number // 4, 0).repeat_interleave(WIDTH // 6, 0) for number in range(first, first + frames)]
    return torch.stack(order)[:, None].expand(-1, HEIGHT, -1, -1).to(torch.uint8)


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(path) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def stripe_colours(picture: np.ndarray) -> np.ndarray:
    middle = WIDTH // 12
    return picture[HEIGHT // 2, middle :: WIDTH // 6].astype(int)


def rate_of(stream: av.VideoStream) -> Fraction:
    """Frames a second as the file says; as players make it out, where PyAV before 18 cannot say it in an mkv."""
    mute = stream.container.name.endswith(".mkv") and int(av.__version__.split(".")[0]) < 18
    return stream.guessed_rate if mute else stream.average_rate


def tags(path: Path) -> dict[str, str]:
    with av.open(path) as file:
        return {name.lower(): value for name, value in file.metadata.items()}


# -- what is in the file -------------------------------------------------------------------------------------


def test_the_codecs_that_are_promised_are_there():
    assert {(".mp4", "h264"), (".webm", "vp9"), (".mkv", "h264"), (".mkv", "vp9")} <= set(FORMATS)
    usual = [choose_codec(ending)[1] for ending in CONTAINERS]
    assert usual == [CODECS["h264"], CODECS["vp9"], CODECS["h264"]]


@pytest.mark.parametrize(("ending", "codec"), FORMATS)
def test_frames_come_back_in_number_size_rate_and_colour(ending, codec, tmp_path):
    path = tmp_path / f"story{ending}"
    with VideoWriter(path, 16, codec=codec, metadata=TAGS) as writer:
        for first, count in ((0, 9), (9, 12), (21, 12), (33, 1)):
            writer.write(stripes(count, first))
            # in the file at once, not in the encoder
            assert writer.frames == len(pictures(writer.unfinished)) == first + count
        assert TAGS.items() <= tags(writer.unfinished).items()
    shown = pictures(path)
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
    assert TAGS.items() <= tags(path).items()
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("codec", sorted({codec for _, codec in FORMATS}))
def test_encoding_does_not_change_what_the_machine_does_first(tmp_path, codec):
    """SVT-AV1, run by root, makes real-time threads, and all that they start: other programs then get no turn."""

    def scheduling() -> set[int]:
        return {os.sched_getscheduler(int(task)) for task in os.listdir("/proc/self/task")}

    before = scheduling()
    with VideoWriter(tmp_path / "story.mkv", 16, codec=codec) as writer:
        writer.write(stripes(4))
        assert scheduling() == before
    assert scheduling() == before


@pytest.mark.parametrize("ending", CONTAINERS)
@pytest.mark.parametrize(
    ("fps", "rate"),
    [(0.5, Fraction(1, 2)), (12.5, Fraction(25, 2)), (23.976, Fraction(24000, 1001)), (24, 24), (60.0, 60)],
)
def test_frame_rates_are_exact(ending, fps, rate, tmp_path):
    path = tmp_path / f"story{ending}"
    with VideoWriter(path, fps) as writer:
        writer.write(stripes(40))
    with av.open(path) as file:
        times = [frame.time for frame in file.decode(video=0)]
        assert rate_of(file.streams.video[0]) == rate
        assert file.duration == pytest.approx(40 / rate * 1e6, abs=1000)
    # webm and mkv round times to milliseconds
    assert times == pytest.approx([number / rate for number in range(40)], abs=6e-4)


def test_floating_point_frames_are_rounded_and_clipped(tmp_path):
    levels = torch.tensor([-0.5, 0.0, 0.25, 0.5, 1.0, 7.0]).repeat_interleave(WIDTH // 6)
    frames = levels[None, None, :, None].expand(4, HEIGHT, -1, 3)
    for dtype in (torch.float32, torch.bfloat16):
        path = tmp_path / f"{dtype}.mp4"
        with VideoWriter(path, 8) as writer:
            writer.write(frames.to(dtype))
            writer.write(frames.to(dtype).float().numpy())
        expected = np.array([0, 0, 64, 128, 255, 255])[:, None]
        assert len(pictures(path)) == 8
        assert all(abs(stripe_colours(picture) - expected).max() <= 3 for picture in pictures(path))


def test_quality_is_what_is_asked_for(tmp_path):
    noise = torch.rand(8, HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(1))
    sizes = {}
    for crf in (0, None, 51):
        path = tmp_path / f"{crf}.mp4"
        with VideoWriter(path, 16, crf=crf) as writer:
            writer.write(noise)
        sizes[crf] = path.stat().st_size
    assert sizes[51] < sizes[None] / 4 < sizes[0]


# -- where ComfyUI's front end looks for the workflow --------------------------------------------------------


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


def test_an_mp4_has_its_tags_under_their_names_before_the_pictures(tmp_path):
    path = tmp_path / "story.mp4"
    with VideoWriter(path, 16, metadata=TAGS) as writer:
        writer.write(stripes(20))
        assert TAGS.items() <= mp4_tags(writer.unfinished.read_bytes()).items()
    data = path.read_bytes()
    assert TAGS.items() <= mp4_tags(data).items()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("ending", [".webm", ".mkv"])
def test_a_matroska_file_has_its_tags_before_the_pictures(ending, tmp_path):
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


# -- what is left when something goes wrong ------------------------------------------------------------------

WRITE_UNTIL_KILLED = """
import sys, torch
from memflow_core.video import VideoWriter
writer = VideoWriter(sys.argv[1], 16, metadata={"workflow": "{}"})
while True:
    writer.write(torch.rand(5, 48, 96, 3))
    print(writer.frames, flush=True)
"""

WRITE_UNTIL_FULL = """
import resource, signal, sys, torch
from memflow_core.video import VideoWriter
limit = int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
writer = VideoWriter(sys.argv[1], 16)
try:
    with writer:
        for _ in range(int(sys.argv[3])):
            writer.write(torch.rand(5, 48, 96, 3))
            print(writer.frames, flush=True)
except OSError as error:
    print(error)
"""


def python(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", program, *map(str, arguments)]


@pytest.mark.parametrize("ending", CONTAINERS)
def test_a_killed_process_leaves_a_file_that_plays_to_the_last_write(ending, tmp_path):
    path = tmp_path / f"story{ending}"
    with subprocess.Popen(python(WRITE_UNTIL_KILLED, path), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        written = [int(process.stdout.readline()) for _ in range(6)][-1]
        process.send_signal(signal.SIGKILL)
        written = [written, *map(int, process.stdout.read().split())][-1]
    unfinished = tmp_path / f"story.unfinished{ending}"
    # one more chunk may have been written before it was told
    assert written <= len(pictures(unfinished)) <= written + 5
    assert tags(unfinished)["workflow"] == "{}"
    assert not path.exists()


@pytest.mark.parametrize("ending", CONTAINERS)
def test_a_disk_that_fills_up_loses_nothing_that_was_written(ending, tmp_path):
    path = tmp_path / f"story{ending}"
    done = subprocess.run(
        python(WRITE_UNTIL_FULL, path, 150_000, 1000), cwd=ROOT, capture_output=True, text=True, check=True
    )
    *counts, told = done.stdout.splitlines()
    unfinished = tmp_path / f"story.unfinished{ending}"
    assert int(counts[-1]) >= 10
    assert len(pictures(unfinished)) == int(counts[-1])
    assert f"frame {counts[-1]}" in told and os.strerror(errno.EFBIG) in told and unfinished.name in told
    assert [file.name for file in tmp_path.iterdir()] == [unfinished.name]


def test_a_disk_that_is_full_only_when_the_file_is_finished_loses_nothing(tmp_path):
    path = tmp_path / "story.mp4"
    writer = VideoWriter(path, 16)
    writer.write(torch.rand(30, HEIGHT, WIDTH, 3))
    # room for half a copy
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (writer.unfinished.stat().st_size // 2, before[1]))
    try:
        with pytest.raises(OSError, match=r"could not be finished.*story\.unfinished\.mp4 holds 30 frames"):
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert len(pictures(writer.unfinished)) == 30
    assert [file.name for file in tmp_path.iterdir()] == [writer.unfinished.name]


def test_the_unfinished_file_stays_if_the_finished_one_lacks_frames(tmp_path, monkeypatch):
    short, path = tmp_path / "short.mp4", tmp_path / "story.mp4"
    with VideoWriter(short) as writer:
        writer.write(stripes(9))
    monkeypatch.setattr("memflow_core.video.writer.finish", lambda source, target, *_: short.rename(target))
    writer = VideoWriter(path)
    writer.write(stripes(10))
    with pytest.raises(OSError, match="not complete"):
        writer.close()
    assert len(pictures(writer.unfinished)) == 10 and not path.exists()


class Cancelled(BaseException):
    pass


@pytest.mark.parametrize("ending", CONTAINERS)
def test_a_cancelled_video_stays_and_plays(ending, tmp_path):
    with pytest.raises(Cancelled), VideoWriter(tmp_path / f"story{ending}", 16, metadata=TAGS) as writer:
        writer.write(stripes(12))
        writer.write(stripes(12))
        raise Cancelled
    assert [file.name for file in tmp_path.iterdir()] == [f"story.unfinished{ending}"]
    assert len(pictures(writer.unfinished)) == writer.frames == 24
    assert TAGS.items() <= tags(writer.unfinished).items()
    assert writer.abort() is None
    with pytest.raises(ValueError, match="takes no more frames"):
        writer.write(stripes(1))


def test_nothing_is_left_of_a_video_without_frames(tmp_path):
    with pytest.raises(Cancelled), VideoWriter(tmp_path / "story.mp4"):
        raise Cancelled
    with (
        pytest.raises(ValueError, match=r"no frames.*story\.mp4"),
        VideoWriter(tmp_path / "story.mp4") as writer,
    ):
        writer.write(torch.empty(0, HEIGHT, WIDTH, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["story.mp4", "story.unfinished.mp4"])
def test_a_file_that_is_there_is_never_replaced(name, tmp_path):
    (tmp_path / name).write_text("precious")
    with pytest.raises(FileExistsError, match=name.replace(".", r"\.")):
        VideoWriter(tmp_path / "story.mp4")
    assert (tmp_path / name).read_text() == "precious"


def test_a_file_that_appears_while_writing_is_not_replaced_either(tmp_path):
    writer, second = VideoWriter(tmp_path / "story.mp4"), VideoWriter(tmp_path / "story.mp4")
    writer.write(stripes(10))
    with pytest.raises(FileExistsError), second:
        second.write(stripes(10))
    (tmp_path / "story.mp4").write_text("precious")
    with pytest.raises(OSError, match=r"appeared.*story\.unfinished\.mp4 holds 10 frames"):
        writer.close()
    assert (tmp_path / "story.mp4").read_text() == "precious"
    assert len(pictures(writer.unfinished)) == 10


def test_memory_does_not_grow_with_the_length(tmp_path):
    pages, page = Path("/proc/self/statm"), resource.getpagesize()
    frames, sizes = torch.rand(4, 128, 128, 3), []
    with VideoWriter(tmp_path / "story.mp4", 16, metadata=TAGS) as writer:
        for number in range(300):
            writer.write(frames)
            if number in (50, 299):
                sizes.append(int(pages.read_text().split()[1]) * page)
        written = writer.unfinished.stat().st_size
    assert written > 10e6
    assert sizes[1] - sizes[0] < written / 3


# -- bad input -----------------------------------------------------------------------------------------------


def test_odd_sizes_are_refused_before_there_is_a_file(tmp_path):
    for height, width in ((33, 64), (64, 33)):
        with pytest.raises(ValueError, match=f"{width} x {height}.*even"):
            VideoWriter(tmp_path / "story.mp4").write(torch.zeros(1, height, width, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (torch.zeros(2, 32, 32), r"\[2, 32, 32\]"),
        (torch.zeros(2, 3, 32, 32), r"\[2, 3, 32, 32\]"),
        (torch.zeros(2, HEIGHT, WIDTH, 3, dtype=torch.int64), "int64"),
        (torch.full((2, HEIGHT, WIDTH, 3), float("nan")), "NaN"),
        (torch.zeros(2, HEIGHT, WIDTH + 2, 3), f"{WIDTH} x {HEIGHT}.*{WIDTH + 2} x {HEIGHT}"),
    ],
)
def test_frames_that_do_not_fit_are_refused_and_the_video_goes_on(frames, told, tmp_path):
    with VideoWriter(tmp_path / "story.mp4") as writer:
        writer.write(stripes(5))
        with pytest.raises(ValueError, match=told):
            writer.write(frames)
        writer.write(stripes(5))
    assert len(pictures(tmp_path / "story.mp4")) == 10


@pytest.mark.parametrize(
    ("settings", "told"),
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
def test_senseless_settings_are_refused(settings, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        VideoWriter(tmp_path / settings.pop("path"), **settings)
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_to_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        VideoWriter(tmp_path / "missing" / "story.mp4")
    (tmp_path / "story.mp4").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        VideoWriter(tmp_path / "story.mp4")
