"""Count the frames that memory will hold and recompute, from host integers alone, before a stream is made.

The counts follow from which frames stand in sink and window. They need no scores, since which frame gives way to which
does not change how many are held. Forecasts go from segment to segment, by moments of `MemoryPolicy`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator

from ..config import MemoryConfig
from .layout import SlotLayout
from .reference import published_span


class ReferenceForecast:
    """Count what `ReferenceMemory` holds.

    The newest recorded frame has buffers of its own, and stands in the bank from the next chunk on.

    layout  of the cache, at the end of the last segment.
    """

    waiting = most_waiting = most_buffers = 1

    def __init__(self, memory: MemoryConfig, chunk_frames: int):
        self.layout = SlotLayout(memory.sink_frames, memory.window_frames, memory.bank_slots)
        self._interval = memory.record_every * chunk_frames
        self._chunk_frames = chunk_frames

    def on_prompt_change(self, recalled: Collection[int]) -> None:
        """There are no pins to recall."""

    def on_cut(self) -> None:
        """Forget sink and window."""
        self.layout.origin = self.layout.end

    def recache_frames(self) -> int:
        """Return how many latent frames a recache before the next chunk reads again; 0: there is no recache."""
        span = published_span(self.layout)
        return 0 if span is None else span.frames

    def advance(self, end_chunk: int) -> None:
        """Go on to the end of a segment."""
        self.layout.end = end_chunk * self._chunk_frames

    @property
    def banked(self) -> int:
        """Frames in the bank."""
        return min(self.layout.bank_slots, -(-(self.layout.end - self._chunk_frames) // self._interval))


class NarrativeForecast:
    """Count the candidates of `NarrativeMemory` and the frames in its bank.

    Candidates are the first frame of every `record_every`-th chunk and every unnamed pin. A candidate has buffers of
    its own while it stands in the window; when it leaves the window, or at a cut, it enters the bank. A frame of the
    sink gets buffers at a cut alone. A named pin gets buffers when a prompt recalls it and the bank does not hold it.
    With retrieval `attention`, frames that enter a full bank keep their buffers until the chunk's first pass.

    pinned        latent frames of unnamed pins.
    layout        of the cache, at the end of the last segment.
    most_waiting  most candidates with buffers after a chunk.
    most_buffers  most frames with buffers at once, an upper bound. It is exact where no pin is recalled, else at most
                  one too many. With `attention` it takes every frame that enters from the sink and by recall to find
                  the bank full, and can be too many by as many frames.
    """

    def __init__(self, memory: MemoryConfig, chunk_frames: int, pinned: Collection[int]):
        self.layout = SlotLayout(memory.sink_frames, memory.window_frames, memory.bank_slots)
        self.most_waiting = 0
        self.most_buffers = 0
        self._chunk_frames = chunk_frames
        self._record_every = memory.record_every
        self._interval = memory.record_every * chunk_frames
        self._pins = sorted(frame for frame in set(pinned) if frame % self._interval)
        self._one_at_a_time = memory.retrieval != "attention"
        self._recalled: Collection[int] = ()
        self._entered: set[int] = set()  # recalled pins that entered the bank, perhaps ahead of their turn

    def on_prompt_change(self, recalled: Collection[int]) -> None:
        """Let named pins, by latent frame, stand in the bank until the next change."""
        self._recalled = recalled

    def on_cut(self) -> None:
        """Let all candidates and recalled pins into the bank, and forget sink and window."""
        layout = self.layout
        in_sink = self._candidates(layout.origin, layout.origin + layout.sink)
        self._count_buffers(entering=in_sink + len(self._recalled))
        self._entered.update(self._recalled)
        layout.origin = layout.end

    def recache_frames(self) -> int:
        """Return how many latent frames a recache before the next chunk reads again; 0: there is no recache."""
        return max(0, self.layout.end - self.layout.first_seen_after(self._chunk_frames))

    def advance(self, end_chunk: int) -> None:
        """Go on to the end of a segment."""
        layout = self.layout
        for chunk in self._fullest_chunks(layout.end, end_chunk):
            layout.end = (chunk + 1) * self._chunk_frames
            self._count_buffers(entering=len(self._recalled))
        layout.end = end_chunk * self._chunk_frames
        self._entered.update(frame for frame in self._recalled if not layout.holds(frame))

    @property
    def waiting(self) -> int:
        """Candidates with buffers of their own."""
        return self._candidates(self.layout.window_start, self.layout.end)

    @property
    def banked(self) -> int:
        """Frames in the bank."""
        layout = self.layout
        left = self._candidates(0, layout.origin) + self._candidates(layout.origin + layout.sink, layout.window_start)
        ahead = [frame for frame in self._entered if layout.holds(frame) or not self._candidates(frame, frame + 1)]
        # a bank with an empty slot has kept every frame that entered, and took each once
        return min(layout.bank_slots, left + len(ahead))

    def _fullest_chunks(self, start: int, end_chunk: int) -> Iterator[int]:
        """Yield the chunks of a segment from latent frame `start` on, after one of which most candidates wait.

        While the window fills up, later recorded chunks leave more waiting than earlier ones; chunks between them leave
        no more. So among the chunks whose window holds a pin it is the pin's own, or the last recorded one.
        """
        yield self._last_recorded(end_chunk)
        first = self._pins_before(start - self.layout.window_slots)
        last = self._pins_before(end_chunk * self._chunk_frames)
        for pin in self._pins[first:last]:
            yield pin // self._chunk_frames
            yield self._last_recorded(min(end_chunk, (pin + self.layout.window_slots) // self._chunk_frames))

    def _last_recorded(self, end_chunk: int) -> int:
        return (end_chunk - 1) // self._record_every * self._record_every

    def _count_buffers(self, entering: int) -> None:
        waiting = self.waiting
        self.most_waiting = max(self.most_waiting, waiting)
        self.most_buffers = max(self.most_buffers, waiting + (min(entering, 1) if self._one_at_a_time else entering))

    def _candidates(self, start: int, end: int) -> int:
        """Count the candidates from latent frame `start` up to, not including, `end`."""
        if not self.layout.bank_slots:
            return 0
        recorded = -(-end // self._interval) - -(-start // self._interval)
        return recorded + self._pins_before(end) - self._pins_before(start)

    def _pins_before(self, end: int) -> int:
        return bisect_left(self._pins, end)


def memory_forecast(
    memory: MemoryConfig, chunk_frames: int, pinned: Collection[int]
) -> NarrativeForecast | ReferenceForecast:
    """Return the forecast of the memory that these settings stand for, before its first chunk."""
    if memory.retrieval == "reference":
        return ReferenceForecast(memory, chunk_frames)
    return NarrativeForecast(memory, chunk_frames, pinned)
