"""The loudness of a sound over time, as a picture of its wave needs it: few numbers, whatever the file's length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError

RATE = 8000  # samples a second that are looked at
FIRST_SAMPLES = 160  # of a peak: 20 ms; twice, four times ... as many where there would be too many
MOST_PEAKS = 4000
MOST_S = 3600.0
FULL_SCALE = 32768


@dataclass(frozen=True)
class Peaks:
    """The loudest sample of each stretch of a sound.

    step_s     seconds of a stretch.
    seconds    of the sound, MOST_S at most.
    loudness   one number from 0 to 1 a stretch, at most MOST_PEAKS.
    """

    step_s: float
    seconds: float
    loudness: tuple[float, ...]


def sound_peaks(path: Path) -> Peaks:
    """Read the wave of a file's first sound, frame by frame: memory does not grow with its length.

    Raises ValueError, in one sentence, for a file without sound, or one that cannot be read to its first samples.
    """
    peaks = np.zeros(0, np.float32)
    step, samples, rest = FIRST_SAMPLES, 0, np.zeros(0, np.float32)
    try:
        for part in _amplitudes(path):
            samples += len(part)
            rest = np.concatenate((rest, part))
            whole = len(rest) // step * step
            peaks = np.concatenate((peaks, rest[:whole].reshape(-1, step).max(axis=1)))
            rest = rest[whole:]
            # at most twice as many as are kept: one frame is short
            while len(peaks) > MOST_PEAKS:
                odd = peaks[len(peaks) // 2 * 2 :]
                peaks = peaks[: len(peaks) // 2 * 2].reshape(-1, 2).max(axis=1)
                # what is left over begins the next stretch
                rest = np.concatenate((np.repeat(odd, step), rest))
                step *= 2
            if samples >= MOST_S * RATE:
                break
    except (FFmpegError, OSError) as error:
        # a file that ends in the middle of a frame has a wave up to there
        if not samples:
            raise ValueError(f"{path.name} is no sound that can be read: choose another file.") from error
    if not samples:
        raise ValueError(f"{path.name} has no sound: choose another file.")
    if len(rest):
        peaks = np.append(peaks, rest.max())
    return Peaks(step / RATE, min(samples / RATE, MOST_S), tuple(float(one) for one in peaks[:MOST_PEAKS]))


def _amplitudes(path: Path) -> Iterator[np.ndarray]:
    """Sizes of a sound's samples [n] float32 from 0 to 1, of the louder channel, frame by frame."""
    with av.open(str(path)) as file:
        if not file.streams.audio:
            return
        resampler = av.AudioResampler(format="s16p", rate=RATE)
        for frame in file.decode(file.streams.audio[0]):
            for part in resampler.resample(frame):
                yield np.abs(part.to_ndarray().astype(np.float32)).max(axis=0) / FULL_SCALE
        for part in resampler.resample(None):
            yield np.abs(part.to_ndarray().astype(np.float32)).max(axis=0) / FULL_SCALE
