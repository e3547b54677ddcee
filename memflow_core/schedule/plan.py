"""A schedule on the grid of chunks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass

from ..config import MemoryConfig
from .errors import ScheduleError, require, shorten
from .grid import ChunkGrid
from .time import Time


@dataclass(frozen=True)
class PlacedSegment:
    """A segment on the grid: chunks from `start_chunk` up to, not including, `end_chunk`.

    delay_s       how much later than asked for it starts, in seconds.
    blend_chunks  over how many chunks a `blend` moves the text; 0 for every other switch.
    recall        names of the pins that stand in the bank in this segment.
    """

    start_chunk: int
    end_chunk: int
    prompt: str
    switch: str
    seed: int | None
    requested: Time
    delay_s: float = 0.0
    blend_chunks: int = 0
    blend_path: str = "linear"
    recall: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlacedPin:
    """A latent frame to keep: for good, or, with a name, for the segments that ask for it."""

    frame: int
    name: str | None
    requested: Time

    def __str__(self) -> str:
        return f"the pin at {self.requested}" if self.name is None else f"pin {self.name!r} at {self.requested}"


@dataclass(frozen=True)
class Plan:
    """Which prompt each of `chunks` chunks is made under, and what is pinned."""

    segments: tuple[PlacedSegment, ...]
    chunks: int
    grid: ChunkGrid
    pins: tuple[PlacedPin, ...] = ()

    def pinned_in(self, segment: PlacedSegment) -> set[int]:
        """Latent frames that the bank must hold by the end of a segment."""
        made = segment.end_chunk * self.grid.latent_frames
        return {pin.frame for pin in self.pins if pin.name in segment.recall or (pin.name is None and pin.frame < made)}

    def check_memory(self, memory: MemoryConfig, also: Collection[int] = (), done: int = 0) -> None:
        """Raise ScheduleError unless the memory can hold what is pinned.

        also  latent frames that are pinned for good besides, for example by hand.
        done  chunks that are made already: what was pinned in segments that are over does not count.
        """
        if not self.pins:
            return
        if memory.retrieval in ("none", "reference"):
            lack = "keeps no bank to hold them" if memory.retrieval == "none" else "knows no pins"
            raise ScheduleError(
                f"the schedule has {self.pins[0]}, but memory retrieval is {memory.retrieval!r}, which {lack}: "
                f"choose another retrieval, or take the pins out."
            )
        for number, segment in enumerate(self.segments, 1):
            if segment.end_chunk <= done:
                continue
            needed = len(self.pinned_in(segment) | set(memory.pins) | set(also))
            require(
                needed <= memory.bank_slots,
                f"segment {number} ({shorten(segment.prompt)}) needs {needed} pinned moments at once, but the memory "
                f"bank holds {memory.bank_slots}: make the bank larger, or pin fewer.",
            )

    def report(self) -> str:
        """Where each prompt and pin was asked for and where it fell, one line each, for people."""
        frames, fps = self.grid.px_frames(self.chunks), self.grid.fps
        lines = [f"{self.chunks} chunks, {frames} video frames, {frames / fps:.2f} s at {fps:g} fps"]
        lines += [self._say(placed) for placed in self.segments]
        return "\n".join(lines + [self._say_pin(pin) for pin in self.pins])

    def to_dict(self) -> dict:
        """The same for programs, fit for JSON."""
        frames = self.grid.px_frames(self.chunks)
        return {
            "chunks": self.chunks,
            "latent_frames_per_chunk": self.grid.latent_frames,
            "fps": self.grid.fps,
            "video_frames": frames,
            "seconds": frames / self.grid.fps,
            "segments": [
                asdict(placed)
                | {
                    "recall": list(placed.recall),
                    "start_frame": self.grid.start_px(placed.start_chunk),
                    "start_s": self.grid.start_s(placed.start_chunk),
                }
                for placed in self.segments
            ],
            "pins": [
                {"name": pin.name, "latent_frame": pin.frame, "requested": asdict(pin.requested)} | self._moment(pin)
                for pin in self.pins
            ],
        }

    def _say(self, placed: PlacedSegment) -> str:
        delay = f" ({placed.delay_s:+.2f} s)" if abs(placed.delay_s) >= 0.005 else ""
        said = (
            f"{shorten(placed.prompt)} asked for at {placed.requested}, starts at chunk "
            f"{placed.start_chunk}, {self.grid.start_s(placed.start_chunk):.2f} s{delay}"
        )
        if placed.blend_chunks and placed.start_chunk:
            alone = placed.start_chunk + placed.blend_chunks - 1
            until = f"alone from {self.grid.start_s(alone):.2f} s on"
            if alone >= placed.end_chunk:
                until = f"cut short at {self.grid.start_s(placed.end_chunk):.2f} s"
            said += f", blends in over {placed.blend_chunks} chunks, {until}"
        return said + "".join(f", remembers {name}" for name in placed.recall)

    def _say_pin(self, pin: PlacedPin) -> str:
        moment = self._moment(pin)
        return f"{pin} keeps the moment from {moment['start_s']:.2f} s, video frame {moment['start_frame']}"

    def _moment(self, pin: PlacedPin) -> dict:
        px = self.grid.latent_start_px(pin.frame)
        return {"start_frame": px, "start_s": px / self.grid.fps}
