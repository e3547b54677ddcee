"""Parts of films: a film with parts of another has its packets, and decodes to the same pictures."""

from __future__ import annotations

import av
import numpy as np
import pytest
import torch

from memflow_core.video import Sound, VideoWriter

FORMATS = [("mp4", "h264"), ("mp4", "h265"), ("mp4", "av1"), ("webm", "vp9"), ("mkv", "h264")]
# x265 makes other packets of the same pictures now and then where they are much smaller
SIZE = (128, 128)


@pytest.fixture
def noise():
    """noise(frames): pictures [frames, 128, 128, 3] uint8 that differ from call to call, the same in every test."""
    generator = torch.Generator().manual_seed(3)
    return lambda frames: torch.randint(0, 256, (frames, *SIZE, 3), generator=generator, dtype=torch.uint8)


def packets_in(path, kind="video") -> list[tuple]:
    with av.open(path) as file:
        (stream,) = [stream for stream in file.streams if stream.type == kind]
        return [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in file.demux(stream) if p.size]


def write(path, codec, pieces, copied=(), sound=None, fps=16):
    """Each piece is a list of writes; the first parts are copied. Returns all parts."""
    with VideoWriter(path, fps, codec=codec, sound=sound) as writer:
        for part in copied:
            writer.write_part(part, *SIZE)
        made = list(copied)
        for piece in pieces[len(copied) :]:
            for frames in piece:
                writer.write(frames)
            made.append(writer.end_part())
    return made


@pytest.mark.parametrize("ending, codec", FORMATS)
@pytest.mark.parametrize("fps", [16, 23.976])
def test_a_film_with_copied_parts_is_the_film_that_was_encoded(ending, codec, fps, noise, tmp_path, read_pictures):
    pieces = [[noise(9), noise(12)], [noise(12)], [noise(12), noise(5)]]
    whole, copy = tmp_path / f"whole.{ending}", tmp_path / f"copy.{ending}"
    parts = write(whole, codec, pieces, fps=fps)
    assert [len(part.packets) for part in parts] == [21, 12, 17]
    for count in (1, 2, 3):
        write(copy, codec, pieces, parts[:count], fps=fps)
        assert packets_in(copy) == packets_in(whole)
        assert all(map(np.array_equal, read_pictures(copy), read_pictures(whole)))
        copy.unlink()
    keys = [number for number, packet in enumerate(packets_in(whole)) if packet[3]]
    assert {0, 21, 33} <= set(keys)


def test_what_was_before_a_part_does_not_change_it(noise, tmp_path):
    last = [noise(24)]
    first = write(tmp_path / "a.mp4", "h264", [[noise(21)], last])
    other = write(tmp_path / "b.mp4", "h264", [[noise(9)], [noise(12) // 8], last])
    assert first[-1] == other[-1]


def slow_pictures(frames: int) -> torch.Tensor:
    """A light that wanders over a pattern, [frames, 64, 64, 3] uint8: encoders give it more than they start with."""
    rows, columns = torch.arange(64.0)[:, None], torch.arange(64.0)
    pattern = 128 + 50 * torch.sin(rows / 5) * torch.cos(columns / 7)
    made = []
    for frame in range(frames):
        light = torch.exp(-((rows - 32) ** 2 + (columns - 10 - 0.4 * frame) ** 2) / 60)
        made.append(pattern * (1 - light) + 240 * light)
    return torch.stack(made).round().to(torch.uint8)[..., None].expand(-1, -1, -1, 3)


@pytest.mark.parametrize("ending, codec", FORMATS)
def test_a_part_starts_in_the_quality_of_a_films_middle(ending, codec, tmp_path, read_pictures):
    pictures = slow_pictures(96)
    losses = {}
    for name, ends in {"one": [96], "parts": [24, 57, 96]}.items():
        path = tmp_path / f"{name}.{ending}"
        with VideoWriter(path, 16, codec=codec) as writer:
            for start in range(0, 96, 3):
                writer.write(pictures[start : start + 3])
                if start + 3 in ends:
                    writer.end_part()
        error = torch.stack([torch.as_tensor(p) for p in read_pictures(path)]) - pictures.float()
        losses[name] = 10 * (error**2).mean(dim=(1, 2, 3)).log10()
    lost = losses["parts"] - losses["one"]
    assert lost[24:30].mean() < 0.5 and lost[57:63].mean() < 0.5 and lost.mean() < 0.3, "decibels"


def test_key_frames_in_a_row_are_told_apart(tmp_path):
    """Each picture of h264 has a delimiter before it, also where a part that ends with a key frame meets the next."""
    parts = write(tmp_path / "a.mp4", "h264", [[slow_pictures(33)], [slow_pictures(12)]])
    assert parts[0].packets[-1].key and parts[1].packets[0].key
    packets = [packet[0] for packet in packets_in(tmp_path / "a.mp4")]
    # a size in four bytes, then the kind in five bits
    assert len(packets) == 45 and all(packet[4] & 31 == 9 for packet in packets[1:])


def test_sound_is_that_of_one_run(noise, tmp_path):
    sound = Sound(torch.rand(2, 48_000) * 2 - 1, 16_000)
    pieces = [[noise(9)], [noise(12)], [noise(12)]]
    parts = write(tmp_path / "whole.mp4", "h264", pieces, sound=sound)
    write(tmp_path / "copy.mp4", "h264", pieces, parts[:2], sound=sound)
    assert packets_in(tmp_path / "copy.mp4", "audio") == packets_in(tmp_path / "whole.mp4", "audio")


def test_parts_of_another_encoding_are_refused(noise, tmp_path):
    (part,) = write(tmp_path / "a.mp4", "h264", [[noise(9)]])
    others = [{"codec": "h265"}, {"crf": 30}, {"fps": 24}]
    for number, other in enumerate(others):
        writer = VideoWriter(tmp_path / f"b{number}.mp4", **{"fps": 16, "codec": "h264", **other})
        with pytest.raises(ValueError, match="another way than"):
            writer.write_part(part, *SIZE)
        writer.abort()
    with VideoWriter(tmp_path / "c.mp4", 16, codec="h264") as writer:
        writer.write(noise(3))
        with pytest.raises(ValueError, match="end_part first"):
            writer.write_part(part, *SIZE)
        assert writer.end_part() is not None and writer.end_part() is None
        writer.write_part(part, *SIZE)
    assert writer.frames == 12
    assert not list(tmp_path.glob("b*"))
