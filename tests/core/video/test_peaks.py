"""The wave of a sound: where it is loud, in few numbers, from any file."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from memflow_core.video import VideoWriter, sound_peaks
from memflow_core.video.peaks import MOST_PEAKS, RATE


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """Write samples [n] or [n, channels] from -1 to 1."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def tone(seconds: float, rate: int = RATE, loudness: float = 0.5) -> np.ndarray:
    return loudness * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_it_is_loud_where_the_sound_is(tmp_path, rate):
    sound = np.concatenate((tone(1, rate), 0 * tone(2, rate), tone(1, rate, 1.0)))
    found = sound_peaks(write_wav(tmp_path / "a.wav", sound, rate))
    assert found.seconds == pytest.approx(4, abs=0.03) and found.step_s == 0.02
    loud = np.array(found.loudness)
    for start_s, end_s, expected in ((0.1, 0.9, 0.5), (1.1, 2.9, 0.0), (3.1, 3.9, 1.0)):
        stretch = loud[round(start_s / found.step_s) : round(end_s / found.step_s)]
        assert stretch == pytest.approx(expected, abs=0.1)


def test_the_louder_channel_counts(tmp_path):
    both = np.stack((0 * tone(1), tone(1)), axis=1)
    assert max(sound_peaks(write_wav(tmp_path / "a.wav", both)).loudness) == pytest.approx(0.5, abs=0.02)
    # out of phase they are silent when they are mixed, and not apart
    both[:, 0] = -both[:, 1]
    assert max(sound_peaks(write_wav(tmp_path / "b.wav", both)).loudness) == pytest.approx(0.5, abs=0.02)


def test_a_long_sound_has_no_more_numbers_and_each_is_the_loudest_of_its_stretch(tmp_path, monkeypatch):
    monkeypatch.setattr("memflow_core.video.peaks.MOST_PEAKS", 37)
    noise = np.random.default_rng(0).uniform(-1, 1, 30 * RATE + 77) ** 5
    found = sound_peaks(write_wav(tmp_path / "a.wav", noise))
    step = round(found.step_s * RATE)
    assert step == 160 * 64 and len(found.loudness) == -(-len(noise) // step) <= 37
    expected = [np.abs(noise[start : start + step]).max() for start in range(0, len(noise), step)]
    assert list(found.loudness) == pytest.approx(expected, abs=1e-3)
    assert len(found.loudness) * found.step_s >= found.seconds == pytest.approx(len(noise) / RATE)


def test_what_lies_behind_an_hour_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("memflow_core.video.peaks.MOST_S", 2.0)
    assert sound_peaks(write_wav(tmp_path / "a.wav", tone(9))).seconds == 2.0
    assert MOST_PEAKS * 0.02 < 3600


def test_files_without_a_sound_are_refused_by_their_name(tmp_path, stripes):
    with VideoWriter(tmp_path / "silent.mp4") as writer:
        writer.write(stripes(8))
    (tmp_path / "text.txt").write_text("a song")
    (tmp_path / "noise.mp3").write_bytes(np.random.default_rng(0).bytes(3000))
    (tmp_path / "empty.wav").write_bytes(b"")
    write_wav(tmp_path / "nothing.wav", np.zeros(0))
    for name in ("silent.mp4", "text.txt", "noise.mp3", "empty.wav", "nothing.wav", "missing.wav"):
        with pytest.raises(ValueError, match=rf"^{name} (is no sound|has no sound).*\.$"):
            sound_peaks(tmp_path / name)


def test_a_file_that_is_cut_off_has_a_wave_up_to_there(tmp_path):
    whole = write_wav(tmp_path / "a.wav", tone(4)).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2 + 1])
    assert sound_peaks(tmp_path / "cut.wav").seconds == pytest.approx(2, abs=0.05)
