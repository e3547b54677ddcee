"""The grid of chunks: where chunks and latent frames start, in video frames (`px`) and seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import require, show
from .time import Time

# the Wan VAE's time compression: the first latent frame is one video frame, every other one this many
PX_PER_LATENT = 4


@dataclass(frozen=True)
class ChunkGrid:
    """Where chunks start, in video frames (`px`) and seconds.

    latent_frames  latent frames of a chunk, F. The first chunk has 1 + 4 (F - 1) video frames, every later one 4 F.
    fps            video frames a second.

    Raises ScheduleError for numbers that are out of range.
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
        """Start of a chunk in seconds."""
        return self.start_px(chunk) / self.fps

    def px_frames(self, chunks: int) -> int:
        """Video frames of the first `chunks` chunks."""
        return self.start_px(chunks)

    def chunk_at_or_after_px(self, px: float) -> int:
        """The first chunk that starts at or after a video frame."""
        return int(-(-(px + PX_PER_LATENT - 1) // self.chunk_px)) if px > 0 else 0

    def latent_at_px(self, px: float) -> int:
        """The latent frame that holds a video frame."""
        return int((px + PX_PER_LATENT - 1) // PX_PER_LATENT)

    def latent_start_px(self, frame: float) -> float:
        """First video frame of a latent frame."""
        return max(0, PX_PER_LATENT * frame - (PX_PER_LATENT - 1))

    def chunks_for_px(self, frames: float) -> int:
        """Chunks needed for `frames` video frames."""
        return self.chunk_at_or_after_px(frames)

    def px_of(self, time: Time, chunks: int = 0) -> float:
        """The video frame at a time. Seconds are rounded to the nearest one.

        chunks  length of the story, of which `percent` is taken: equal shares get equal numbers of chunks.
        """
        if time.unit == "s":
            return math.floor(time.value * self.fps + 0.5)
        if time.unit == "frames":
            return time.value
        if time.unit == "chunks":
            return self.start_px(int(time.value))
        latent = time.value
        if time.unit == "percent":
            # a third of 9 chunks must be 3, which 33.333333333333336 % is not quite
            latent = round(time.value * chunks * self.latent_frames / 100, 6)
        return self.latent_start_px(latent)
