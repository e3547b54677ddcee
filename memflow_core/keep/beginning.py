"""What makes two beginnings of a story the same: one digest for each prefix of it.

Everything that decides a number up to a chunk is in the digest of that chunk, and nothing that comes later is. So two
stories that begin alike have the digests of their common beginning in common, whatever follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from torch import Tensor

from ..config import LatentShape, MemoryConfig, SamplingConfig
from ..schedule import PlacedSegment, Plan
from ..stream import ControlPart, Stream
from .fingerprint import Fingerprint, fingerprint, machine_of, tree_fingerprint

# a prompt that lasts longer has a moment after each so many of its latent frames, in whole chunks: 30 s at 16 fps
PART_FRAMES = 120
# to be raised with every change of the code by which the same inputs make other numbers, in the last bit too
NUMBERS = 3


class Made(Protocol):
    """What a story is made with, beside its schedule.

    digest    of it all, but controls.
    start     a digest of what it starts from, "" for none.
    controls  by which it is steered; those that the digest has already may be left out.
    """

    @property
    def digest(self) -> str: ...
    @property
    def start(self) -> str: ...
    @property
    def controls(self) -> Sequence[ControlPart]: ...


@dataclass(frozen=True)
class Setting:
    """What a story is made with, beside its schedule.

    model      a fingerprint of the model, its patches, and of the machine that computes.
    positions  `absolute` or `relative`, as settled.
    start      a fingerprint of the state or the pictures that the story starts from; "" where there are none.
    also       further inputs that decide its numbers, as fingerprints.
    controls   by which it is steered, each with an identity.
    """

    model: str
    shape: LatentShape
    memory: MemoryConfig
    sampling: SamplingConfig
    positions: str
    start: str = ""
    also: tuple[str, ...] = ()
    controls: tuple[ControlPart, ...] = ()

    @property
    def digest(self) -> str:
        """One digest of all of it."""
        # what `auto` became is what counts
        memory = replace(self.memory, positions="auto", pins=tuple(sorted(set(self.memory.pins))))
        found = Fingerprint()
        found.add("numbers", NUMBERS)
        found.add("model", self.model)
        for name, part in (("shape", self.shape), ("memory", memory), ("sampling", self.sampling)):
            found.add(name, asdict(part))
        found.add("positions", self.positions)
        found.add("start", self.start)
        found.add("also", list(self.also))
        return found.hex()


def setting_of(stream: Stream, model: str | None = None) -> Setting:
    """The setting of a stream that has made nothing yet. model: its fingerprint, which else is computed."""
    backbone = stream.backbone
    if model is None:
        also = [("machine", machine_of(stream.device, backbone.dtype)), ("heads", backbone.heads)]
        model = tree_fingerprint(backbone.tree, also)
    setting = Setting(model, stream.shape, stream.memory_config, stream.sampling, stream.positions)
    if stream.control is None or not stream.control.parts:
        return setting
    branch = "" if backbone.control is None else tree_fingerprint(backbone.control.tree)
    parts = (replace(part, identity=f"{part.identity} {branch}") for part in stream.control.parts)
    return replace(setting, controls=tuple(parts))


class Prints:
    """Fingerprints of prompt embeddings, each computed once."""

    def __init__(self) -> None:
        # with the tensor itself, so that no other one gets its id
        self._known: dict[int, tuple[Tensor, str]] = {}

    def of(self, embeddings: Sequence[Tensor]) -> list[str]:
        """Fingerprints of embeddings [1 or B, length, text_dim]."""
        for embedding in embeddings:
            if id(embedding) not in self._known:
                self._known[id(embedding)] = (embedding, fingerprint(embedding))
        return [self._known[id(embedding)][1] for embedding in embeddings]


def beginning(
    setting: Made,
    seed: int,
    plan: Plan,
    embeddings: Sequence[Tensor] | Sequence[str],
    weights: Sequence[str],
    chunk: int,
) -> str:
    """The digest of a story's first `chunk` chunks, 32 hexadecimal digits.

    seed                 of the segments without one of their own.
    embeddings, weights  of the plan's segments, as an `EncodedSchedule` has them: what a prompt says to the model
                         counts, not how it is written. Embeddings may be fingerprints already, or texts where a digest
                         is wanted by which people know a story.
    """
    found = Fingerprint()
    found.add("setting", setting.digest)
    found.add("chunk", [chunk, plan.grid.latent_frames])
    for number, segment in enumerate(plan.segments):
        if segment.start_chunk >= chunk:
            break
        found.add("segment", [segment.start_chunk, seed_of(segment, seed), _takes_over(setting, segment)])
        _add_prompt(found, segment, embeddings[number], weights[number] if weights else "")
    _add_controls(found, setting, end_px=plan.grid.start_px(chunk), whole=True)
    made = chunk * plan.grid.latent_frames
    found.add("pins", sorted([pin.frame, pin.name or ""] for pin in plan.pins if pin.frame < made))
    return found.hex()


def place_of(
    setting: Made,
    seed: int,
    plan: Plan,
    embeddings: Sequence[Tensor] | Sequence[str],
    weights: Sequence[str],
    number: int,
) -> str:
    """The digest of a segment's place in a story: the beginning before it, its prompt and how it takes over, but not
    its seed nor how long it lasts. Takes of one segment have it in common. Arguments as of `beginning`."""
    segment = plan.segments[number]
    found = Fingerprint()
    found.add("before", beginning(setting, seed, plan, embeddings, weights, segment.start_chunk))
    found.add("place", [segment.start_chunk, _takes_over(setting, segment)])
    _add_prompt(found, segment, embeddings[number], weights[number] if weights else "")
    # how long the segment lasts does not count, so neither does where its last control ends
    _add_controls(found, setting, end_px=plan.grid.start_px(segment.end_chunk), whole=False)
    return found.hex()


def _add_controls(found: Fingerprint, setting: Made, *, end_px: int, whole: bool) -> None:
    """Add the controls of the video frames before `end_px`; of a story without any, nothing. whole: their ends too."""
    parts = [part for part in setting.controls if part.start_px < end_px]
    ends = [end_px if part.end_px is None else min(part.end_px, end_px) for part in parts]
    if parts:
        found.add(
            "controls",
            [
                [part.start_px, end if whole else 0, part.strength, part.identity]
                for part, end in zip(parts, ends, strict=True)
            ],
        )


def seed_of(segment: PlacedSegment, seed: int) -> int:
    """The seed of a segment's noise. seed: of those without one of their own."""
    return seed if segment.seed is None else segment.seed


def _takes_over(setting: Made, segment: PlacedSegment) -> list[str]:
    if not segment.start_chunk and not setting.start:
        # nothing was there that it could take over from
        return []
    blend = [str(segment.blend_chunks), segment.blend_path] if segment.switch == "blend" else []
    return [segment.switch, *blend]


def _add_prompt(found: Fingerprint, segment: PlacedSegment, said: Tensor | str, weights: str) -> None:
    found.add("prompt", [said if isinstance(said, str) else fingerprint(said), weights])
    # names of the pins that stand in the bank
    found.add("recall", sorted(segment.recall))


def is_part_end(plan: Plan, chunk: int) -> bool:
    """Whether a part ends where a chunk starts. Depends on the plan up to that chunk alone."""
    if not 0 < chunk < plan.chunks:
        return chunk > 0 and chunk == plan.chunks
    segment = plan.segments[plan.segment_at(chunk)]
    return (chunk - segment.start_chunk) % _part_chunks(plan) == 0


def ends_of_parts(plan: Plan, until: int | None = None) -> list[int]:
    """The chunks at which parts end, up to `until`, or to the story's own end: prompts' starts, and some in long ones.

    The end itself is one of them.
    """
    last = plan.chunks if until is None else min(until, plan.chunks)
    ends = {last} if last else set()
    for segment in plan.segments:
        ends |= set(range(segment.start_chunk, min(segment.end_chunk, last), _part_chunks(plan)))
    return sorted(ends - {0})


def _part_chunks(plan: Plan) -> int:
    """Chunks of a part within a long prompt."""
    return max(1, PART_FRAMES // plan.grid.latent_frames)
