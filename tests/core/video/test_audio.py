"""Sound in a video file: in time with the pictures, as long as they are, and kept when something goes wrong."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from memflow_core.video import Sound, VideoWriter
from memflow_core.video.encoder import CONTAINERS

ROOT = Path(__file__).resolve().parents[3]
FRAMES = 45
SECONDS = FRAMES / 16
# length of one compressed piece of AAC or Opus; as much again may stay in the encoder
PIECE_S = 1024 / 22050
TAGS = {"workflow": '{"nodes": []}', "prompt": "{}"}


def beeps(rate: int = 44100, seconds: float = 10, channels: int = 2, every_s: float = 0.5) -> Sound:
    """A beep of 50 ms at 0.1 s, 0.6 s ..."""
    time = np.arange(int(rate * seconds)) / rate
    on = (time % every_s >= 0.1) & (time % every_s < 0.15)
    wave = torch.from_numpy((0.8 * np.sin(2 * np.pi * 880 * time) * on).astype(np.float32))
    return Sound(wave.expand(channels, -1).contiguous(), rate)


def write_video(path: Path, sound: Sound | None, frames: int = FRAMES, **settings) -> VideoWriter:
    writer = VideoWriter(path, 16, sound=sound, metadata=TAGS, **settings)
    for count in (9, *[12] * ((frames - 9) // 12)):
        writer.write(torch.rand(count, 48, 96, 3, generator=torch.Generator().manual_seed(count)))
    return writer


def read_sound(path: Path) -> tuple[float, list[float], int]:
    """(length in seconds, when beeps start, channels)."""
    with av.open(path) as file:
        frames = list(file.decode(audio=0))
        rate, channels = frames[0].sample_rate, frames[0].layout.nb_channels
        sounds = [f.to_ndarray().reshape(channels, -1) if f.format.is_planar else f.to_ndarray() for f in frames]
    samples = np.abs(np.concatenate([s[0] if len(s) == channels else s.reshape(-1, channels)[:, 0] for s in sounds]))
    loud = np.flatnonzero(samples > 0.2)
    starts = loud[np.r_[True, np.diff(loud) > rate * 0.2]] if len(loud) else loud
    return len(samples) / rate, [frames[0].time + float(at) / rate for at in starts], channels


def count_frames(path: Path) -> int:
    with av.open(path) as file:
        return sum(1 for _ in file.decode(video=0))


@pytest.mark.parametrize("ending", CONTAINERS)
@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (22050, 1), (48000, 2), (37000, 2)])
def test_beeps_come_when_they_should(ending, rate, channels, tmp_path):
    path = tmp_path / f"story{ending}"
    writer = write_video(path, beeps(rate, channels=channels))
    # an unfinished mp4 is late by the priming of its sound
    assert read_sound(writer.unfinished)[1] == pytest.approx([0.1, 0.6, 1.1, 1.6, 2.1, 2.6], abs=0.05)
    writer.close()
    length, starts, found = read_sound(path)
    assert starts == pytest.approx([0.1, 0.6, 1.1, 1.6, 2.1, 2.6], abs=0.003)
    assert SECONDS - 0.01 < length < SECONDS + PIECE_S and found == channels
    assert count_frames(path) == FRAMES
    with av.open(path) as file:
        assert file.streams.audio[0].codec_context.name.endswith("opus" if ending == ".webm" else "aac")
        assert file.duration / 1e6 == pytest.approx(SECONDS, abs=2 * PIECE_S)
        assert {name.lower(): value for name, value in file.metadata.items()}.items() >= TAGS.items()


@pytest.mark.parametrize("ending", CONTAINERS)
def test_a_short_sound_is_followed_by_silence(ending, tmp_path):
    path = tmp_path / f"story{ending}"
    write_video(path, beeps(seconds=1.0)).close()
    length, starts, _ = read_sound(path)
    assert starts == pytest.approx([0.1, 0.6], abs=0.003) and SECONDS - 0.01 < length < SECONDS + PIECE_S


def test_a_late_start_takes_what_is_left(tmp_path):
    for start, expected in ((1.0, [0.1, 0.6, 1.1, 1.6, 2.1, 2.6]), (9.4, [0.2]), (20.0, [])):
        path = tmp_path / f"{start}.mp4"
        write_video(path, beeps().after(start)).close()
        assert read_sound(path)[1] == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("ending", CONTAINERS)
def test_the_growing_file_has_the_sound_of_its_pictures(ending, tmp_path):
    writer = VideoWriter(tmp_path / f"story{ending}", 16, sound=beeps())
    for made in (9, 21, 33):
        writer.write(torch.rand(made - writer.frames, 48, 96, 3))
        length, _, _ = read_sound(writer.unfinished)
        assert count_frames(writer.unfinished) == made
        assert made / 16 - 3 * PIECE_S < length < made / 16 + PIECE_S
    writer.abort()
    # abort writes what the encoders still held
    assert count_frames(writer.unfinished) == 33
    assert 33 / 16 - 0.01 < read_sound(writer.unfinished)[0] < 33 / 16 + PIECE_S


@pytest.mark.parametrize("ending", CONTAINERS)
def test_sound_changes_no_picture(ending, tmp_path):
    def pictures(path):
        with av.open(path) as file:
            return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]

    write_video(tmp_path / f"mute{ending}", None).close()
    write_video(tmp_path / f"loud{ending}", beeps()).close()
    for mute, loud in zip(pictures(tmp_path / f"mute{ending}"), pictures(tmp_path / f"loud{ending}"), strict=True):
        assert np.array_equal(mute, loud)


WRITE_UNTIL_KILLED = """
import sys, torch
from memflow_core.video import Sound, VideoWriter
writer = VideoWriter(sys.argv[1], 16, sound=Sound(torch.rand(2, 48000 * 60) - 0.5, 48000))
while True:
    writer.write(torch.rand(5, 48, 96, 3))
    print(writer.frames, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", CONTAINERS)
def test_a_killed_process_leaves_a_file_that_plays_and_sounds(ending, tmp_path):
    command = [sys.executable, "-c", WRITE_UNTIL_KILLED, str(tmp_path / f"story{ending}")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        written = [int(process.stdout.readline()) for _ in range(6)][-1]
        process.send_signal(signal.SIGKILL)
        process.stdout.read()
    left = tmp_path / f"story.unfinished{ending}"
    assert written <= count_frames(left) <= written + 5
    assert read_sound(left)[0] > written / 16 - 3 * PIECE_S


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (torch.zeros(6, 100), 44100, r"shape \[6, 100\]"),
        (torch.zeros(1, 2, 100), 44100, r"shape \[1, 2, 100\]"),
        (torch.zeros(2, 0), 44100, r"shape \[2, 0\]"),
        (torch.full((2, 9), torch.nan), 44100, "finite"),
        (torch.zeros(2, 9, dtype=torch.int16), 44100, "from -1 to 1"),
        (torch.zeros(2, 9), 0, "0 samples a second"),
        (torch.zeros(2, 9), 10**9, "samples a second"),
    ],
)
def test_what_is_no_sound_is_refused(samples, rate, message):
    with pytest.raises(ValueError, match=message):
        Sound(samples, rate)
