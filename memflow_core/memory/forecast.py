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

READ_BUFFERS = 2  # of a frame that is read anew: where the pass writes it, and the bank's copy


def empty(layout: SlotLayout) -> SlotLayout:
    """A layout of the same slots that holds nothing."""
    return SlotLayout(layout.sink_slots, layout.window_slots, layout.bank_slots)


class ReferenceForecast:
    """Count what `ReferenceMemory` holds.

    The newest recorded frame has buffers of its own, and stands in the bank from the next chunk on.

    layout  of the cache, at the end of the last segment.
    """

    waiting = most_waiting = most_buffers = 1
    moments = archived = questions = 0

    def __init__(self, memory: MemoryConfig, chunk_frames: int):
        self.layout = SlotLayout(memory.sink_frames, memory.window_frames, memory.bank_slots)
        self._interval = memory.record_every * chunk_frames
        self._chunk_frames = chunk_frames
        self._began = 0

    def on_prompt_change(self, recalled: Collection[int]) -> None:
        """There are no pins to recall, and there is no archive."""

    def on_fresh(self) -> None:
        """Forget everything: a new story begins."""
        self._began += self.layout.end // self._chunk_frames
        self.layout = empty(self.layout)

    def on_cut(self) -> None:
        """Forget sink and window."""
        self.layout.origin = self.layout.end

    def recache_frames(self) -> int:
        """Return how many latent frames a recache before the next chunk reads again; 0: there is no recache."""
        span = published_span(self.layout)
        return 0 if span is None else span.frames

    def advance(self, end_chunk: int) -> None:
        """Go on to the end of a segment."""
        self.layout.end = (end_chunk - self._began) * self._chunk_frames

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

    With `bank_keys` `alone`, candidates have no buffers: a frame is read anew when it enters. With an archive, a prompt
    change fills the bank from all that was ever recorded.

    pinned        latent frames of unnamed pins.
    named         latent frames of named pins.
    layout        of the cache, at the end of the last segment.
    most_waiting  most candidates with buffers after a chunk.
    most_buffers  most frames with buffers at once, an upper bound. It is exact where no pin is recalled, else at most
                  one too many. With `attention` it takes every frame that enters from the sink and by recall to find
                  the bank full, and can be too many by as many frames.
    moments       passes that read one frame anew: exact without pins and archive, else at most. Of an archive of keys:
                  those if it kept none.
    questions     passes that are made for their queries alone, by which the bank is chosen: exact without pins, else at
                  most.
    """

    def __init__(
        self, memory: MemoryConfig, chunk_frames: int, *, pinned: Collection[int] = (), named: Collection[int] = ()
    ):
        self.layout = SlotLayout(memory.sink_frames, memory.window_frames, memory.bank_slots)
        self.most_waiting = 0
        self.most_buffers = 0
        self._chunk_frames = chunk_frames
        self._record_every = memory.record_every
        self._interval = memory.record_every * chunk_frames
        self._began = 0  # chunk at which the present story began, from which frames count
        self._unnamed = set(pinned)
        self._pins = self._off_the_clock()
        self._one_at_a_time = memory.retrieval != "attention"
        self._alone = memory.bank_keys == "alone"
        self._has_archive = memory.archive != "off"
        self._asks = memory.archive_rule == "attention"
        self.questions = 0
        self._named = sorted(set(named))
        self._pinned = bool(pinned)
        self._due = False  # whether the bank is to be chosen from the archive
        self._room = True  # whether a frame that leaves the window has a chance to enter
        self._read = 0  # passes over frames that entered the bank
        self._recalled: Collection[int] = ()
        self._entered: set[int] = set()  # recalled pins that entered the bank, perhaps ahead of their turn

    def on_prompt_change(self, recalled: Collection[int]) -> None:
        """Let named pins, by latent frame, stand in the bank until the next change."""
        shift = self._began * self._chunk_frames
        self._recalled = [frame - shift for frame in recalled]
        self._due = True

    def on_fresh(self) -> None:
        """Forget everything: a new story begins, and frames count anew."""
        end = self.layout.end
        self._read += self._named_made
        self._began += end // self._chunk_frames
        self._named = [frame - end for frame in self._named if frame >= end]
        self._unnamed = {frame - end for frame in self._unnamed if frame >= end}
        self._pins, self._pinned = self._off_the_clock(), bool(self._unnamed)
        self.layout = empty(self.layout)
        self._room, self._recalled = True, ()
        self._entered.clear()

    def on_cut(self) -> None:
        """Let all candidates and recalled pins into the bank, and forget sink and window."""
        layout = self.layout
        in_sink = self._candidates(layout.origin, layout.origin + layout.sink)
        self._count_buffers(entering=in_sink + len(self._recalled))
        self._entered.update(self._recalled)
        left = self._left
        layout.origin = layout.end
        if self._due and self._has_archive:
            self._choose(self._left)
        else:
            self._count_read(left)

    def recache_frames(self) -> int:
        """Return how many latent frames a recache before the next chunk reads again; 0: there is no recache."""
        return max(0, self.layout.end - self.layout.first_seen_after(self._chunk_frames))

    def advance(self, end_chunk: int) -> None:
        """Go on to the end of a segment."""
        layout, left, end_chunk = self.layout, self._left, end_chunk - self._began
        if self._due and self._has_archive:
            left = self._left_before(layout.first_seen_after(self._chunk_frames))
            self._choose(left)
        for chunk in self._fullest_chunks(layout.end, end_chunk):
            layout.end = (chunk + 1) * self._chunk_frames
            self._count_buffers(entering=len(self._recalled))
        layout.end = end_chunk * self._chunk_frames
        self._count_read(left)
        self._entered.update(frame for frame in self._recalled if not layout.holds(frame))

    @property
    def waiting(self) -> int:
        """Candidates with buffers of their own."""
        return 0 if self._alone else self._candidates(self.layout.window_start, self.layout.end)

    @property
    def moments(self) -> int:
        """Passes that read one frame anew, so far: one for each that entered the bank, and for each named pin."""
        # what an archive keeps as it was made is not read anew: where all of it is kept, nothing is
        return self._read + self._named_made

    @property
    def archived(self) -> int:
        """Frames in the archive."""
        if not self._has_archive:
            return 0
        named = [frame for frame in self._named if frame < self.layout.end and not self._candidates(frame, frame + 1)]
        return self._candidates(0, self.layout.end) + len(named)

    @property
    def banked(self) -> int:
        """Frames in the bank."""
        layout = self.layout
        ahead = [frame for frame in self._entered if layout.holds(frame) or not self._candidates(frame, frame + 1)]
        # a bank with an empty slot has kept every frame that entered, and took each once
        return min(layout.bank_slots, self._left + len(ahead))

    @property
    def _named_made(self) -> int:
        """Passes that named pins took in the present story."""
        return bisect_left(self._named, self.layout.end) if self._alone else 0

    def _off_the_clock(self) -> list[int]:
        """Unnamed pins that are no recorded frames anyway."""
        return sorted(frame for frame in self._unnamed if frame % self._interval)

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

    @property
    def _left(self) -> int:
        """Candidates that are neither in sink nor in window."""
        return self._left_before(self.layout.window_start)

    def _left_before(self, frame: int) -> int:
        """The same, where the window starts at a latent frame."""
        layout = self.layout
        behind_sink = layout.origin + layout.sink
        end = max(behind_sink, min(frame, layout.end))
        return self._candidates(0, layout.origin) + self._candidates(behind_sink, end)

    def _choose(self, recallable: int) -> None:
        """Fill the bank from the archive, of which the coming chunk does not see so many candidates."""
        slots = self.layout.bank_slots
        self._due = False
        self.questions += self._asks and recallable + bisect_left(self._named, self.layout.end) > 0
        # places are kept for pins to come, and used until then
        self._room = recallable < slots or bool(self._pinned or self._named)
        self._read += min(slots, recallable + bisect_left(self._named, self.layout.end))
        # those that stay are put aside meanwhile, beside the one that is read
        self.most_buffers = max(self.most_buffers, min(slots, recallable) + READ_BUFFERS)

    def _count_read(self, left: int) -> None:
        """Count the candidates that left sink and window since there were `left` of them."""
        if self._alone and self._room:
            self._read += self._left - left

    def _count_buffers(self, entering: int) -> None:
        waiting = self._candidates(self.layout.window_start, self.layout.end)
        if not self._alone:
            self.most_waiting = max(self.most_waiting, waiting)
        else:
            # those that are read at once: one, or with `attention` all that leave
            entering, waiting = entering + READ_BUFFERS, 0 if self._one_at_a_time else waiting
        at_once = min(entering, READ_BUFFERS if self._alone else 1) if self._one_at_a_time else entering
        self.most_buffers = max(self.most_buffers, waiting + at_once)

    def _candidates(self, start: int, end: int) -> int:
        """Count the candidates from latent frame `start` up to, not including, `end`."""
        if not self.layout.bank_slots:
            return 0
        recorded = -(-end // self._interval) - -(-start // self._interval)
        return recorded + self._pins_before(end) - self._pins_before(start)

    def _pins_before(self, end: int) -> int:
        return bisect_left(self._pins, end)


class ShotForecast(NarrativeForecast):
    """Count what `ShotMemory` holds: one chunk in the bank, as soon as one has left the window, and no candidates."""

    def __init__(self, memory: MemoryConfig, chunk_frames: int):
        super().__init__(memory, chunk_frames)
        self._filled = False

    def _count_buffers(self, entering: int) -> None:
        """There are none."""

    def on_fresh(self) -> None:
        """Forget everything: a new story begins."""
        super().on_fresh()
        self._filled = False

    def on_cut(self) -> None:
        """Forget sink and window; the bank stays."""
        self._filled = self._has_left
        self.layout.origin = self.layout.end

    def recache_frames(self) -> int:
        """Nothing is read again."""
        return 0

    @property
    def _has_left(self) -> bool:
        return self._filled or self.layout.window_start > self.layout.origin + self.layout.sink

    @property
    def banked(self) -> int:
        """Frames in the bank."""
        return self.layout.bank_slots if self._has_left else 0

    @property
    def waiting(self) -> int:
        """No frame has buffers of its own."""
        return 0


def memory_forecast(
    memory: MemoryConfig, chunk_frames: int, *, pinned: Collection[int] = (), named: Collection[int] = ()
) -> NarrativeForecast | ReferenceForecast | ShotForecast:
    """Return the forecast of the memory that these settings stand for, before its first chunk.

    pinned, named  latent frames of unnamed and of named pins.
    """
    if memory.retrieval == "reference":
        return ReferenceForecast(memory, chunk_frames)
    if memory.retrieval == "shots":
        return ShotForecast(memory, chunk_frames)
    return NarrativeForecast(memory, chunk_frames, pinned=pinned, named=named)
