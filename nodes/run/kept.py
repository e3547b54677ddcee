"""Keep moments of a node's run, and go on from the longest beginning that an earlier run has made."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from ...memflow_core.keep import (
    LabelName,
    LabelText,
    Library,
    Prints,
    Setting,
    SideWriter,
    Taken,
    beginning,
    is_part_end,
    longest,
    seed_of,
    take_snapshot,
)
from ...memflow_core.play import EncodedSchedule
from ...memflow_core.schedule import Plan
from ...memflow_core.state import DECODER, Snapshot, StreamState
from ...memflow_core.stream import Chunk, ControlPart, Stream
from ...memflow_core.video import FilmPart
from .. import host
from .controls import control_parts
from .events import MadeBefore
from .known import KnownStory
from .messages import Message, message
from .request import Request, encoded_schedule
from .start_state import StoryState, pictures_shown

# what may wait to be written beside one moment
MOST_WAITING = 2**30


@dataclass(frozen=True)
class EndedPart:
    """A part of the story that has ended.

    latents  [1, C, F, h, w] float32 of its chunks, on the CPU.
    moment   the stream's state at its end; None where it was not taken.
    label    what the graph says of it; None where it does not tell.
    """

    digest: str
    first: int
    end: int
    latents: Tensor
    moment: Snapshot | None
    label: tuple[LabelName, LabelText] | None


@dataclass(frozen=True)
class KnownPart:
    """A part that an earlier run has made: chunks from `first` to `end`, in latents, pictures or both.

    small  data URLs of pictures of its chunks' first frames, as far as there are any.
    """

    digest: str
    first: int
    end: int
    latents: Tensor | None
    film: FilmPart | None
    small: tuple[str, ...] = ()


class KeptStory:
    """The keeping of one run; a context manager, at whose end all is written that was to be.

    known    what the graph says of the story; None where it does not tell.

    told     sentences on what was skipped and what had to go.
    taken    where the run goes on from; None where it starts as the node asks.
    parts    what is before that.
    """

    def __init__(self, request: Request, plan: Plan, gb: float, vae: Any = None, known: KnownStory | None = None):
        self.told: list[str] = []
        self.taken: Taken | None = None
        self.parts: list[KnownPart] = []
        self._library = Library(host.moments_folder(), host.kept_bytes(gb), self._tell)
        self._writer = SideWriter(MOST_WAITING, self._tell)
        self._request = request
        self._plan = plan
        self._decodes = vae is not None
        self._known = known
        # by the name that states know LoRA hooks by, which says some of their numbers only
        self._hooks: dict[str, str] = {}
        self._setting = self._setting_of(vae)
        self._prints = Prints()
        # the first chunk of the part under way, and its latents so far
        self._first = request.done
        self._latents: list[Tensor] = []
        # pictures of those, of a run that has no film
        self._small: list[str] = []

    def __enter__(self) -> KeptStory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    # -- before the run -----------------------------------------------------------------------------------------------

    def take_up(self, encoding: Callable[[], str] | None = None) -> Request:
        """The request to run: the one given, or one that goes on from what an earlier run has made of the same.

        encoding  what the film's parts are encoded with; None where there is no film.
        """
        if self._setting is None:
            return self._request
        most = self._plan.chunks
        while (taken := self._longest(most, encoding)) is not None:
            parts = [self._read(*part, encoding) for part in taken.parts]
            bad = _unusable(parts)
            if bad is None:
                return self._go_on(taken, parts)
            # a beginning that ends before may do
            most = bad.end
        return self._request

    def sentences(self) -> list[Message]:
        """What is to be told of it before the run, on the node and in the plan."""
        if self.taken is None:
            return []
        grid = self._plan.grid
        made, end = grid.start_s(self.taken.chunk), grid.start_s(self._plan.chunks)
        if self._request.open_end:
            return [message("An earlier run has made the same until {0} s: goes on from there.", f"{made:.2f}")]
        rest = f"{end - made:.2f}"
        whole = f"{end - grid.start_s(self._request.done):.2f}"
        known = message(
            "An earlier run has made the same until {0} s: renders {1} of {2} s.", f"{made:.2f}", rest, whole
        )
        return [known]

    @property
    def before(self) -> MadeBefore | None:
        """What was taken up, for the page; None for nothing."""
        if self.taken is None:
            return None
        pictures = {}
        for part in self.parts:
            pictures |= dict(zip(range(part.first, part.end), part.small, strict=False))
        return MadeBefore(self._request.done, pictures)

    def report(self) -> dict[str, Any]:
        """What was taken from an earlier run, fit for JSON; seconds of the story."""
        start = self._request.done if self.taken is None else self.taken.chunk
        return {
            "first_chunk": self._request.done,
            "resumed_from": None if self.taken is None else self.taken.ends[-1][0],
            "rendered_from": {"chunk": start, "seconds": round(self._plan.grid.start_s(start), 4)},
            "kept": {"told": list(self.told)},
        }

    # -- during the run -----------------------------------------------------------------------------------------------

    def part_before(self, schedule: EncodedSchedule, chunk: Chunk) -> EndedPart | None:
        """The part that ends before a chunk, where nothing knew so when the chunk before was made: a live prompt."""
        if self._setting is None or not self._latents or not is_part_end(schedule.plan, chunk.index):
            return None
        return self._end_part(schedule, chunk.index, None)

    def part_after(self, stream: Stream, schedule: EncodedSchedule, chunk: Chunk) -> EndedPart | None:
        """Take a finished chunk; returns the part that ends with it, with the stream's state there."""
        if self._setting is None:
            return None
        self._latents.append(chunk.latents.to("cpu", torch.float32))
        if not is_part_end(schedule.plan, chunk.index + 1):
            return None
        return self._end_part(schedule, chunk.index + 1, take_snapshot(stream, self._writer, self._tell))

    def add(self, stream: Stream, schedule: EncodedSchedule, chunk: Chunk, small: str | None) -> None:
        """Take a finished chunk of a run that has no film, and let the parts that it ends be written.

        small  data URL of a picture of its first frame.
        """
        if (ended := self.part_before(schedule, chunk)) is not None:
            self.put(ended, small=self._small)
            self._small = []
        self._small += [] if small is None else [small]
        if (ended := self.part_after(stream, schedule, chunk)) is not None:
            self.put(ended, small=self._small)
            self._small = []

    def put(
        self,
        part: EndedPart,
        film: FilmPart | None = None,
        carry: dict[str, Tensor] | None = None,
        small: Sequence[str] = (),
    ) -> None:
        """Let an ended part be written, from any thread.

        carry  what the video decoder carries at its end.
        small  data URLs of pictures of its chunks' first frames.
        """
        library, digest, first, end = self._library, part.digest, part.first, part.end
        size = part.latents.nbytes
        if self._writer.reserve(size):
            self._writer.put(size, lambda: library.keep_latents(digest, first, end, part.latents))
        if film is not None and self._writer.reserve(0):
            self._writer.put(0, lambda: library.keep_film(digest, first, end, film))
        if part.label is not None and self._writer.reserve(0):
            name, text = part.label[0], replace(part.label[1], pictures=tuple(small))
            self._writer.put(0, lambda: library.keep_label(name, text))
        if part.moment is not None:
            moment, named = part.moment, {f"{DECODER}{name}": tensor for name, tensor in (carry or {}).items()}

            def keep() -> None:
                state = moment.state().without_unmade_pins()
                library.keep_moment(digest, end, StreamState(state.tensors | named, state.meta))

            self._writer.put(moment.nbytes, keep)

    def put_film(self, part: KnownPart, film: FilmPart) -> None:
        """Let pictures be written that were decoded and encoded again for a known part."""
        if self._writer.reserve(0):
            self._writer.put(0, lambda: self._library.keep_film(part.digest, part.first, part.end, film))

    # -- inside -------------------------------------------------------------------------------------------------------

    def _tell(self, sentence: str) -> None:
        self.told.append(sentence)
        host.log(sentence)

    def _setting_of(self, vae: Any) -> Setting | None:
        """What the story is made with; None where nothing is kept, or where that cannot be told."""
        request = self._request
        if self._library.budget <= 0:
            return None
        if host.rank_count() > 1:
            # each would find, and keep, what its own disk has in time
            self._tell("no moments are kept: several ComfyUIs share each stream.")
            return None
        if request.settings.look_ahead:
            self._tell("no moments are kept: memory looks ahead, so a beginning depends on all that follows.")
            return None
        # small pictures decide no numbers
        state = None if request.state is None else replace(request.state, shown={}, given=())
        try:
            hooks = request.schedule.hooks_by_name
            self._hooks = {name: host.hooks_fingerprint(hooked) for name, hooked in hooks.items()}
            return Setting(
                host.model_fingerprint(request.model),
                request.shape,
                request.settings,
                request.sampling,
                request.positions,
                "" if state is None else host.value_fingerprint(state),
                () if vae is None else (host.vae_fingerprint(vae),),
                self._controls(),
            )
        except host.UnknownKindError as error:
            self._tell(f"no moments are kept: what stands on a link cannot be told from others of its kind: {error}.")
            return None

    def _controls(self) -> tuple[ControlPart, ...]:
        request, plan = self._request, self._plan
        if request.control is None:
            return ()
        return control_parts(request.control, request.model, plan.grid, request.control_chunks(plan))

    def _longest(self, most: int, encoding: Callable[[], str] | None) -> Taken | None:
        schedule = encoded_schedule(self._request, self._plan)
        assert self._setting is not None, "checked by its caller"
        return longest(
            self._library,
            self._setting,
            self._request.seed,
            schedule.plan,
            schedule.embeddings,
            self._weights(schedule),
            first=self._request.done,
            most=most,
            usable=lambda taken: all(self._has(digest, first, encoding) for digest, first, _ in taken.parts),
        )

    def _weights(self, schedule: EncodedSchedule) -> list[str]:
        """The model's weights under each segment, "" for its own."""
        return [self._hooks.get(name, name) for name in schedule.weights]

    def _has(self, digest: str, first: int, encoding: Callable[[], str] | None) -> bool:
        if encoding is not None and self._library.has_film(digest, first, encoding()):
            return True
        return self._can_decode and self._library.has_latents(digest, first)

    @property
    def _can_decode(self) -> bool:
        """Whether latents alone will do: a film that goes on from a state begins with what its decoder carries."""
        return not self._decodes or self._request.state is None

    def _read(self, digest: str, first: int, end: int, encoding: Callable[[], str] | None) -> KnownPart:
        film = None if encoding is None else self._library.film(digest, first, encoding())
        latents = self._library.latents(digest, first) if self._can_decode else None
        frames = (end - first) * self._request.sampling.chunk_frames
        if latents is not None and latents.shape[2] != frames:
            latents = None
        return KnownPart(digest, first, end, latents, film, self._small_of(digest, first))

    def _small_of(self, digest: str, first: int) -> tuple[str, ...]:
        """Small pictures of a part, from whatever label it has."""
        for name in self._library.labels():
            if (name.digest, name.first) == (digest, first) and (text := self._library.label(name)) is not None:
                return text.pictures
        return ()

    def _go_on(self, taken: Taken, parts: list[KnownPart]) -> Request:
        request, state = self._request, taken.state
        assert state is not None, "of one that was found"
        carry = {name.removeprefix(DECODER): t for name, t in state.tensors.items() if name.startswith(DECODER)}
        tensors = {name: tensor for name, tensor in state.tensors.items() if not name.startswith(DECODER)}
        made = request.grid.px_frames(taken.chunk) - request.grid.px_frames(request.done)
        self.taken, self.parts, self._first = taken, parts, taken.chunk
        self._label_again(parts)
        shown = pictures_shown(request.state)
        story = StoryState(StreamState(tensors, state.meta), carry or None, shown=shown)
        return replace(request, state=story, length=request.length and request.length - made)

    def _end_part(self, schedule: EncodedSchedule, end: int, moment: Snapshot | None) -> EndedPart:
        assert self._setting is not None, "checked by its caller"
        prints = self._prints.of(schedule.embeddings)
        digest = beginning(self._setting, self._request.seed, schedule.plan, prints, self._weights(schedule), end)
        label = self._label(schedule, digest, self._first, end)
        part = EndedPart(digest, self._first, end, torch.cat(self._latents, dim=2), moment, label)
        self._first, self._latents = end, []
        return part

    def _label(
        self, schedule: EncodedSchedule, digest: str, first: int, end: int
    ) -> tuple[LabelName, LabelText] | None:
        """What the graph says of a part, without pictures."""
        known, plan, prompts, seed = self._known, schedule.plan, schedule.schedule, self._request.seed
        if known is None or not (known.live_alike or plan is self._plan):
            return None
        segment = plan.segments[plan.segment_at(first)]
        text = LabelText(
            end=end,
            segment=segment.start_chunk,
            prompt=segment.prompt,
            seed=seed_of(segment, seed),
            start_s=round(plan.grid.start_s(first), 4),
            end_s=round(plan.grid.start_s(end), 4),
            made_s=round(time.time(), 3),
        )
        return known.label(seed, plan, prompts, digest=digest, first=first, end=end), text

    def _label_again(self, parts: Sequence[KnownPart]) -> None:
        """Label parts that an earlier run of another graph has made, which this one's page would not know."""
        schedule, there = encoded_schedule(self._request, self._plan), set(self._library.labels())
        for part in parts:
            label = self._label(schedule, part.digest, part.first, part.end)
            if label is None or label[0] in there or not self._writer.reserve(0):
                continue
            name, text = label[0], replace(label[1], pictures=part.small)
            self._writer.put(0, partial(self._library.keep_label, name, text))


def _unusable(parts: Sequence[KnownPart]) -> KnownPart | None:
    """The first part for which something is missing: pictures, or all latents up to where they can be made again."""
    lacking = False
    for part in parts:
        lacking = lacking or part.latents is None
        if part.film is None and lacking:
            return part
    return None
