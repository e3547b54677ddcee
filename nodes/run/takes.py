"""Takes: what earlier runs have made of a story's prompts, with whatever seeds, listed, shown as files, and deleted.

A take is the part, or the parts behind one another, that one seed has made of a segment in its place: after the same
beginning, under the same prompt. To choose one is to give the segment its seed; the next run then takes it up.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...memflow_core.keep import Fingerprint, LabelName, LabelText, ends_of_parts, seed_of
from ...memflow_core.video import FilmPart, VideoWriter
from .. import host
from .film_formats import FORMATS, QUALITIES
from .kept_before import GraphStory
from .output import video_writer

MOST_PICTURES = 6
FILM_PREFIX = "memflow_take"
_PART_ID = re.compile(r"[0-9a-f]{32}-\d{1,9}")


class NoSuchTakeError(LookupError):
    """A take that is not there, or not any more."""


@dataclass(frozen=True)
class Take:
    """What one seed has made of a segment.

    segment  index of the segment in the plan.
    parts    its labels in their order, each with what it tells.
    chosen   whether it has the seed that the schedule has now.
    """

    segment: int
    parts: tuple[tuple[LabelName, LabelText], ...]
    chosen: bool

    @property
    def id(self) -> str:
        """Names the take's parts: text for a request."""
        return ".".join(f"{name.digest}-{name.first}" for name, _ in self.parts)

    @property
    def seed(self) -> int:
        return self.parts[0][1].seed

    @property
    def digests(self) -> set[str]:
        return {name.digest for name, _ in self.parts}

    def pictures(self) -> list[str]:
        """Data URLs of a few of its pictures, the first one first, evenly spaced."""
        found = [picture for _, text in self.parts for picture in text.pictures]
        step = max(1, -(-len(found) // MOST_PICTURES))
        return found[::step]


def takes_of(story: GraphStory) -> list[Take]:
    """Takes of every segment of a story, by segment and then by age, of which latents are kept."""
    plan, labels = story.plan, story.library.labels()
    prompts = story.request.prompts.within(plan.grid, plan.chunks)
    takes: list[Take] = []
    for number, segment in enumerate(plan.segments):
        place = story.known.place(story.seed, plan, prompts, number)
        found = [label for label in labels if (label.story, label.place) == (story.known.digest, place)]
        by_seed: dict[int, list[tuple[LabelName, LabelText]]] = {}
        for label in found:
            text = story.library.label(label)
            if text is not None and story.library.has_latents(label.digest, label.first):
                by_seed.setdefault(text.seed, []).append((label, text))
        seed = seed_of(segment, story.seed)
        of_segment = [
            Take(number, parts, chosen=takes_seed == seed)
            for takes_seed, known in by_seed.items()
            if (parts := tuple(_in_order(known, segment.start_chunk)))
        ]
        takes += sorted(of_segment, key=lambda take: take.parts[0][1].made_s)
    return takes


def _in_order(parts: list[tuple[LabelName, LabelText]], first: int) -> Iterator[tuple[LabelName, LabelText]]:
    """Parts of one seed that follow one another from a chunk on; where there are several, the one made last."""
    at = first
    while here := [part for part in parts if part[0].first == at and part[1].end > at]:
        chosen = max(here, key=lambda part: part[1].made_s)
        yield chosen
        at = chosen[1].end


def takes_json(story: GraphStory) -> list[dict[str, Any]]:
    """Takes of a story, fit for JSON. Seeds are texts: they have more digits than numbers have on a page."""
    takes = takes_of(story)
    sizes: dict[str, int] = {}
    for file in story.library.files():
        sizes[file.digest] = sizes.get(file.digest, 0) + file.bytes
    films = TakeFilms(story)
    return [
        {
            "id": take.id,
            "segment": take.segment,
            "seed": str(take.seed),
            "prompt": take.parts[0][1].prompt,
            "start_s": take.parts[0][1].start_s,
            "end_s": take.parts[-1][1].end_s,
            "made_s": take.parts[0][1].made_s,
            "chosen": take.chosen,
            "playable": films.has(take),
            "bytes": sum(sizes.get(digest, 0) for digest in take.digests),
            "pictures": take.pictures(),
        }
        for take in takes
    ]


def take_by_id(story: GraphStory, take_id: str) -> Take:
    """The take that a request names. Raises NoSuchTakeError."""
    well_formed = all(_PART_ID.fullmatch(part) for part in take_id.split("."))
    for take in takes_of(story) if well_formed else ():
        if take.id == take_id:
            return take
    raise NoSuchTakeError("there is no such take of this story any more: look at the list again.")


def delete_takes(story: GraphStory, take_id: str | None) -> int:
    """Delete one take, or all that the schedule does not play now; returns the bytes that were freed.

    Raises NoSuchTakeError.
    """
    if take_id is not None:
        return story.library.remove_all(take_by_id(story, take_id).digests)
    return story.library.remove_all(_digests_of(story) - _played(story))


def delete_story(story: GraphStory) -> int:
    """Delete all that is kept of a story, under any schedule and seed; returns the bytes that were freed."""
    return story.library.remove_all(_digests_of(story))


def _digests_of(story: GraphStory) -> set[str]:
    return {label.digest for label in story.library.labels() if label.story == story.known.digest}


def _played(story: GraphStory) -> set[str]:
    """Digests of what the schedule plays now."""
    plan = story.plan
    prompts = story.request.prompts.within(plan.grid, plan.chunks)
    known = {story.known.until(story.seed, plan, prompts, end) for end in ends_of_parts(plan)}
    return {label.digest for label in story.library.labels() if label.known in known}


class TakeFilms:
    """Files of takes in ComfyUI's temp folder, for a page to play, in the format that the story's node is set to."""

    def __init__(self, story: GraphStory):
        self._story = story
        self._encoding: str | None = None

    def has(self, take: Take) -> bool:
        """Whether a take's pictures are kept as the node would encode them now."""
        encoding = self._encoding_now()
        library = self._story.library
        return bool(encoding) and all(library.has_film(name.digest, name.first, encoding) for name, _ in take.parts)

    def file(self, take: Take) -> host.OutputFile:
        """A file of a take, made where it is not there. Raises NoSuchTakeError where its pictures are not kept so."""
        encoding = self._encoding_now()
        parts = [self._story.library.film(name.digest, name.first, encoding) for name, _ in take.parts]
        if not parts or any(part is None for part in parts):
            raise NoSuchTakeError("this take's pictures are not kept in the node's format: it shows its first frames.")
        name = Fingerprint()
        name.add("take", [take.id, encoding])
        file = host.OutputFile(host.temp_folder() / f"{FILM_PREFIX}_{name.hex()}.{self._ending}", "", "temp")
        if not file.path.is_file():
            self._write(file.path, [part for part in parts if part is not None])
        return file

    def _write(self, path: Path, parts: Sequence[FilmPart]) -> None:
        """Write a film under a name of its own first: a page asks for several at once, and for one again and again."""
        request = self._story.request
        draft = path.with_name(f"{FILM_PREFIX}_{secrets.token_hex(8)}{path.suffix}")
        with self._writer(draft) as writer:
            for part in parts:
                writer.write_part(part, request.height, request.width)
        try:
            os.replace(draft, path)
        except PermissionError:
            # Windows replaces no file that a page reads: it is the same one
            draft.unlink()

    @property
    def _ending(self) -> str:
        return FORMATS[self._story.settings.get("format", "")][0]

    def _encoding_now(self) -> str:
        """What the node would encode with; "" for a node that writes no film, or is set to no known format."""
        if self._encoding is None:
            self._encoding = ""
            if self._story.settings.get("format") in FORMATS and self._story.settings.get("quality") in QUALITIES:
                request = self._story.request
                path = host.temp_folder() / f"{FILM_PREFIX}_{secrets.token_hex(8)}.{self._ending}"
                self._encoding = self._writer(path).encoding(request.height, request.width)
        return self._encoding

    def _writer(self, path: Path) -> VideoWriter:
        settings = self._story.settings
        return video_writer(
            path,
            self._story.request.fps,
            codec=FORMATS[settings["format"]][1],
            crf_above_usual=QUALITIES[settings["quality"]],
            metadata={},
            sound=None,
        )
