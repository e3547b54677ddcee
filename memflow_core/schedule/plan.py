"""A schedule placed on the grid of chunks: which prompt and which pins each chunk has."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Collection
from dataclasses import KW_ONLY, asdict, dataclass
from functools import cached_property
from typing import Any

from ..config import MemoryConfig
from .errors import ScheduleError, require, shorten
from .grid import ChunkGrid
from .lora import Lora
from .notes import Note
from .reach import FRESH, farthest_position
from .time import Time


@dataclass(frozen=True)
class PlacedSegment:
    """A segment on the grid: chunks from `start_chunk` up to, not including, `end_chunk`.

    requested     the segment's own start time.
    delay_s       seconds from the requested start to the start of the chunk.
    blend_chunks  over how many chunks a `blend` moves the text; 0 for every other switch.
    recall        names of the pins that stand in the bank in this segment.
    loras         LoRAs that the model has in this segment.
    """

    start_chunk: int
    end_chunk: int
    _: KW_ONLY
    prompt: str
    switch: str
    seed: int | None
    requested: Time
    delay_s: float = 0.0
    blend_chunks: int = 0
    blend_path: str = "linear"
    recall: tuple[str, ...] = ()
    loras: tuple[Lora, ...] = ()


def _plain(segment: PlacedSegment) -> dict[str, Any]:
    """Fields of a segment, fit for JSON; with the key `loras` where there are any."""
    fields = asdict(segment)
    del fields["loras"]
    loras = [[lora.name, lora.strength] for lora in segment.loras]
    return fields | ({"loras": loras} if loras else {})


@dataclass(frozen=True)
class PlacedPin:
    """A latent frame to keep: for good, or, with a name, for the segments that recall it."""

    frame: int
    name: str | None
    requested: Time

    def __str__(self) -> str:
        return f"the pin at {self.requested}" if self.name is None else f"pin {self.name!r} at {self.requested}"


@dataclass(frozen=True)
class Plan:
    """Segments and pins placed on `chunks` chunks of a grid. The segments join without gaps.

    notes  what reading and placing the schedule left out or took in another way than it is written.
    """

    segments: tuple[PlacedSegment, ...]
    chunks: int
    grid: ChunkGrid
    pins: tuple[PlacedPin, ...] = ()
    notes: tuple[Note, ...] = ()

    def segment_at(self, chunk: int) -> int:
        """Index of the segment that a chunk is made under. Raises IndexError for a chunk outside the plan."""
        for index, segment in enumerate(self.segments):
            if segment.start_chunk <= chunk < segment.end_chunk:
                return index
        raise IndexError(f"the plan has no chunk {chunk}: it has {self.chunks} chunks.")

    @cached_property
    def story_starts(self) -> tuple[int, ...]:
        """Chunks at which a story begins: 0, and the first ones of fresh prompts."""
        return (0, *(one.start_chunk for one in self.segments[1:] if one.switch == FRESH))

    def story_chunk(self, chunk: int) -> int:
        """Number of a chunk within the story that it belongs to."""
        starts = self.story_starts
        return chunk - starts[bisect_right(starts, chunk) - 1]

    def reach(self, shot_offset: int) -> int:
        """Latent frames that absolute positions have to reach. shot_offset: by how many a jump moves them on."""
        changes = [(segment.start_chunk, segment.switch) for segment in self.segments[1:]]
        frames = self.grid.latent_frames
        return farthest_position(changes, self.chunks, chunk_frames=frames, shot_offset=shot_offset)

    def check_memory(self, memory: MemoryConfig, also: Collection[int] = (), done: int = 0) -> None:
        """Raise ScheduleError unless the memory can hold what is pinned.

        also  further latent frames that are pinned for good, for example by hand.
        done  chunks that are made already; pins of segments that are over do not count.
        """
        if not self.pins:
            return
        if not memory.holds_pins:
            lack = "keeps no bank to hold them" if memory.retrieval == "none" else "knows no pins"
            raise ScheduleError(
                f"the schedule has {self.pins[0]}, but memory retrieval is {memory.retrieval!r}, which {lack}: "
                f"choose another retrieval, or take the pins out."
            )
        named = {pin.name: pin.frame for pin in self.pins if pin.name is not None}
        unnamed = deque(sorted(pin.frame for pin in self.pins if pin.name is None))
        held = {*memory.pins, *also}
        for number, segment in enumerate(self.segments, 1):
            if segment.start_chunk in self.story_starts[1:]:
                held = {frame for frame in held if frame >= segment.start_chunk * self.grid.latent_frames}
            while unnamed and unnamed[0] < segment.end_chunk * self.grid.latent_frames:
                held.add(unnamed.popleft())
            if segment.end_chunk <= done:
                continue
            needed = len(held | {named[name] for name in segment.recall})
            require(
                needed <= memory.bank_slots,
                f"segment {number} ({shorten(segment.prompt)}) needs {needed} pinned moments at once, but the memory "
                f"bank holds {memory.bank_slots}: make the bank larger, or pin fewer.",
            )

    def report(self) -> str:
        """Describe where every prompt and pin was requested and where it starts, and the notes, one line each."""
        frames = self.grid.px_frames(self.chunks)
        fps = self.grid.fps
        lines = [f"{self.chunks} chunks, {frames} video frames, {frames / fps:.2f} s at {fps:g} fps"]
        lines += [self._segment_line(segment) for segment in self.segments]
        lines += [self._pin_line(pin) for pin in self.pins]
        lines += [f"note: {told}" for told in self.notes]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The plan for programs, fit for JSON; with the key `notes` where there are any."""
        frames = self.grid.px_frames(self.chunks)
        notes = {"notes": [str(told) for told in self.notes]} if self.notes else {}
        return {
            "chunks": self.chunks,
            "latent_frames_per_chunk": self.grid.latent_frames,
            "fps": self.grid.fps,
            "video_frames": frames,
            "seconds": frames / self.grid.fps,
            "segments": [
                _plain(segment)
                | {
                    "recall": list(segment.recall),
                    "start_frame": self.grid.start_px(segment.start_chunk),
                    "start_s": self.grid.start_s(segment.start_chunk),
                }
                for segment in self.segments
            ],
            "pins": [
                {"name": pin.name, "latent_frame": pin.frame, "requested": asdict(pin.requested)} | self._pin_start(pin)
                for pin in self.pins
            ],
            **notes,
        }

    def _segment_line(self, segment: PlacedSegment) -> str:
        delay = f" ({segment.delay_s:+.2f} s)" if abs(segment.delay_s) >= 0.005 else ""
        line = (
            f"{shorten(segment.prompt)} asked for at {segment.requested}, starts at chunk "
            f"{segment.start_chunk}, {self.grid.start_s(segment.start_chunk):.2f} s{delay}"
        )
        if segment.blend_chunks and segment.start_chunk:
            alone = segment.start_chunk + segment.blend_chunks - 1
            until = f"alone from {self.grid.start_s(alone):.2f} s on"
            if alone >= segment.end_chunk:
                until = f"cut short at {self.grid.start_s(segment.end_chunk):.2f} s"
            line += f", blends in over {segment.blend_chunks} chunks, {until}"
        line += "".join(f", remembers {name}" for name in segment.recall)
        return line + "".join(f", with LoRA {lora.name} at {lora.strength:g}" for lora in segment.loras)

    def _pin_line(self, pin: PlacedPin) -> str:
        start = self._pin_start(pin)
        return f"{pin} keeps the moment from {start['start_s']:.2f} s, video frame {start['start_frame']}"

    def _pin_start(self, pin: PlacedPin) -> dict[str, float]:
        px = self.grid.latent_start_px(pin.frame)
        return {"start_frame": px, "start_s": px / self.grid.fps}
