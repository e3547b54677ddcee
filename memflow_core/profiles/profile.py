"""Settings that a checkpoint was trained with, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..config import MemoryConfig, SamplingConfig, check_fit


@dataclass(frozen=True)
class Profile:
    """What one kind of checkpoint was trained with, and is streamed with unless a user says otherwise.

    name            of the kind, as people read it.
    sampling        chunk, steps, those of the first chunk, shift, warp, solver, context timestep.
    memory          sink, window, bank and positions. Sink, window and bank together are no more latent frames than it
                    read in training, but for MemFlow and LongLive 1, which have MemFlow's bank beside them. What was
                    measured to be better than the paper's memory for this kind is in it, too.
    width, height   of the picture in pixels.
    fps             video frames a second.
    pixels          of the picture along a latent's side: 8 for the Wan 2.1 VAE, 16 for that of Wan 2.2.
    channels        of a latent.
    averaged        whether the published program takes the running average (EMA) of a training checkpoint's weights.
    licence         of the weights, a line.
    note            what a user should know beside, a sentence; empty for nothing.

    Raises ValueError for settings that do not fit together.
    """

    name: str
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    width: int = 832
    height: int = 480
    fps: float = 16.0
    pixels: int = 8
    channels: int = 16
    averaged: bool = False
    licence: str = "Apache 2.0"
    note: str = ""

    def __post_init__(self) -> None:
        check_fit(self.memory, self.sampling)

    @property
    def frames_read(self) -> int:
        """Latent frames of sink, window and bank, the chunk under way included."""
        return self.memory.sink_frames + self.memory.window_frames + self.memory.bank_slots

    def changed(
        self,
        *,
        chunk_frames: int | None = None,
        steps: tuple[int, ...] | None = None,
        first_steps: tuple[int, ...] | None = None,
        shift: float | None = None,
        warp: bool | None = None,
    ) -> Profile:
        """The same profile with some values of a user's; None keeps its own. Raises ValueError for a misfit.

        Another chunk size moves memory along: window, sink and bank that counted whole chunks go on to do so.
        """
        given = {"chunk_frames": chunk_frames, "steps": steps, "first_steps": first_steps, "shift": shift, "warp": warp}
        sampling = replace(self.sampling, **{name: value for name, value in given.items() if value is not None})
        before, after = self.sampling.chunk_frames, sampling.chunk_frames
        memory = self.memory if before == after else _rescaled(self.memory, before, after)
        return replace(self, sampling=sampling, memory=memory)


def _rescaled(memory: MemoryConfig, before: int, after: int) -> MemoryConfig:
    """Memory for another chunk size: the same number of latent frames where that holds a chunk, in whole chunks."""
    window = max(1, round(memory.window_frames / after)) * after
    if memory.retrieval != "shots":
        return replace(memory, window_frames=window, record_every=max(1, round(memory.record_every * before / after)))
    sink = max(1, round(memory.sink_frames / after)) * after
    return replace(memory, window_frames=window, sink_frames=sink, bank_frames=after)
