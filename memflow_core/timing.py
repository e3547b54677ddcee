"""Points in a story's time, and the grid of chunks that they fall on."""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass

# the Wan VAE's time compression; the first latent frame is one video frame, every other one this many
PX_PER_LATENT = 4
MAX_TIME = 10**12

_SAID = {"s": "{} s", "frames": "frame {}", "chunks": "chunk {}", "latent": "latent frame {}", "percent": "{} %"}


class ScheduleError(ValueError):
    """A schedule that cannot be read or placed; one sentence with the fix."""


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ScheduleError(message)


def show(value: object) -> str:
    """Any value for a message, cut short, however large or deeply nested it is."""
    try:
        return reprlib.repr(value)
    except (ValueError, RecursionError):  # an int with thousands of digits, for one
        return f"a {type(value).__name__} of great size"


def shorten(prompt: str, limit: int = 40) -> str:
    """A prompt quoted for a message, cut to `limit` characters."""
    return repr(prompt if len(prompt) <= limit else prompt[: limit - 3] + "...")


@dataclass(frozen=True)
class Time:
    """A point of the story, or a length.

    unit  `s`; `frames`: video frames; `chunks`; `latent`: latent frames; `percent` of the story's chunks.

    A whole `value` is kept as int. Raises ScheduleError unless it is a number from 0 to MAX_TIME (percent: 100),
    and whole for chunks and latent frames.
    """

    value: float
    unit: str

    def __post_init__(self) -> None:
        if not isinstance(self.unit, str) or self.unit not in _SAID:
            raise ScheduleError(f"time unit is {show(self.unit)}, but must be one of {', '.join(_SAID)}.")
        number = isinstance(self.value, (int, float)) and not isinstance(self.value, bool)
        high = 100 if self.unit == "percent" else MAX_TIME
        if not number or not 0 <= self.value <= high:
            raise ScheduleError(f"time is {show(self.value)} ({self.unit}), but must be a number from 0 to {high}.")
        whole = self.value == int(self.value)
        if not whole and self.unit in ("chunks", "latent"):
            raise ScheduleError(
                f"time is {self.value} ({self.unit}), but must be whole: write seconds for anything in between."
            )
        if whole:
            object.__setattr__(self, "value", int(self.value))

    def __str__(self) -> str:
        return _SAID[self.unit].format(self.value if isinstance(self.value, int) else f"{self.value:.10g}")


def check_text(name: str, text: object) -> None:
    """Raise ScheduleError unless `text` is a str that can be written as UTF-8."""
    if not isinstance(text, str):
        raise ScheduleError(f"{name} is {show(text)}, but must be text.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ScheduleError(
            f"{name} holds half a character (a lone surrogate) at position {error.start}: type it anew."
        ) from None


@dataclass(frozen=True)
class ChunkGrid:
    """Where chunks start, in video frames and seconds.

    latent_frames  latent frames of a chunk, F. The first chunk has 1 + 4 (F - 1) video frames, every later one 4 F.
    fps            video frames a second.
    """

    latent_frames: int = 3
    fps: float = 16.0

    def __post_init__(self) -> None:
        whole = isinstance(self.latent_frames, int) and not isinstance(self.latent_frames, bool)
        require(
            whole and 1 <= self.latent_frames <= 1024,
            f"a chunk has {show(self.latent_frames)} latent frames, but must have a whole number from 1 to 1024.",
        )
        require(
            isinstance(self.fps, (int, float)) and 0.01 <= self.fps <= 10_000,
            f"fps is {show(self.fps)}, but must be from 0.01 to 10000.",
        )

    @property
    def chunk_px(self) -> int:
        """Video frames of every chunk but the first."""
        return PX_PER_LATENT * self.latent_frames

    def start_px(self, chunk: int) -> int:
        """First video frame of a chunk."""
        return chunk * self.chunk_px - (PX_PER_LATENT - 1) if chunk > 0 else 0

    def start_s(self, chunk: int) -> float:
        return self.start_px(chunk) / self.fps

    def px_frames(self, chunks: int) -> int:
        """Video frames of that many chunks."""
        return self.start_px(chunks)

    def chunk_at_or_after_px(self, px: float) -> int:
        """The first chunk that starts at or after a video frame."""
        return int(-(-(px + PX_PER_LATENT - 1) // self.chunk_px)) if px > 0 else 0

    def chunk_at_or_after_latent(self, frame: int) -> int:
        """The first chunk that starts at or after a latent frame."""
        return -(-frame // self.latent_frames)

    def latent_at_px(self, px: float) -> int:
        """The latent frame that holds a video frame."""
        return int((px + PX_PER_LATENT - 1) // PX_PER_LATENT)

    def latent_start_px(self, frame: float) -> float:
        """First video frame of a latent frame."""
        return max(0, PX_PER_LATENT * frame - (PX_PER_LATENT - 1))

    def chunks_for_px(self, frames: float) -> int:
        """Chunks needed for that many video frames."""
        return self.chunk_at_or_after_px(frames)

    def px_of(self, time: Time, chunks: int = 0) -> float:
        """A time in video frames. `percent` is taken of `chunks`, so that equal shares get equal numbers of chunks."""
        if time.unit == "s":
            return math.floor(time.value * self.fps + 0.5)
        if time.unit == "frames":
            return time.value
        if time.unit == "chunks":
            return self.start_px(time.value)
        latent = time.value
        if time.unit == "percent":
            # a third of 9 chunks must be 3, which 33.333333333333336 % is not quite
            latent = round(time.value * chunks * self.latent_frames / 100, 6)
        return self.latent_start_px(latent)
