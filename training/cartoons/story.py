"""Cartoon stories: segments of one prompt each, and how they are drawn.

A story is cut into segments; cuts fall on chunk boundaries. Everything in the pictures follows from prompt and time,
except the looks of the characters: their identities are drawn per story, and no prompt ever mentions them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .characters import kind_of
from .motion import Placement, placement
from .prompts import Shot, parse_prompt
from .world import IDENTITIES, KINDS, SIZE, Identity, background, paste, sprite

FRAMES_PER_LATENT = 4  # video frames of a latent frame; the first latent frame of a story has one
CHUNK_LATENTS = 3  # latent frames of a chunk
CHUNK_FRAMES = FRAMES_PER_LATENT * CHUNK_LATENTS
HIDDEN_FRAMES = FRAMES_PER_LATENT - 1  # chunk 0 lacks the video frames that would come before the first


@dataclass(frozen=True)
class Segment:
    """One prompt and its shot, for chunks from `start_chunk` up to, not including, `end_chunk`.

    path  where its only character stands at each time, in the place of what the action says (see `paths`); None: as
          the action says.
    """

    prompt: str
    shot: Shot
    start_chunk: int
    end_chunk: int
    path: tuple[Placement, ...] | None = None

    @property
    def scene(self) -> str:
        return self.shot.scene

    @property
    def cast(self) -> tuple[str, ...]:
        return self.shot.cast

    @property
    def action(self) -> str:
        return self.shot.action


class Reappearance(NamedTuple):
    """A character that comes back: in segment number `segment`, after `away_chunks` chunks without it."""

    segment: int
    kind: str
    away_chunks: int


@dataclass(frozen=True)
class CartoonStory:
    """Segments without gaps, and the identity of each character by label."""

    segments: tuple[Segment, ...]
    identities: Mapping[str, Identity]

    @property
    def chunks(self) -> int:
        return self.segments[-1].end_chunk

    @property
    def frames(self) -> int:
        """Video frames of the whole story."""
        return start_frame(self.chunks)

    def segment_at(self, frame: int) -> Segment:
        """Return the segment of a video frame. Raises IndexError outside the story."""
        for segment in self.segments:
            if 0 <= frame < start_frame(segment.end_chunk):
                return segment
        raise IndexError(f"picture {frame} is not in the story, which has {self.frames}.")

    def without_cast(self) -> CartoonStory:
        """Return the same scenes with no character in them."""
        empty = (replace(segment, shot=Shot(segment.scene, (), "empty"), path=None) for segment in self.segments)
        return replace(self, segments=tuple(empty))

    def reappearances(self) -> list[Reappearance]:
        """Return each character's reappearances, in order."""
        found, last = [], {}
        for number, segment in enumerate(self.segments):
            for kind in segment.cast:
                away_chunks = segment.start_chunk - last.get(kind, segment.start_chunk)
                if away_chunks:
                    found.append(Reappearance(number, kind, away_chunks))
                last[kind] = segment.end_chunk
        return found


def start_frame(chunk: int) -> int:
    """Return the first video frame of a chunk, which is also the number of video frames before it."""
    return max(0, CHUNK_FRAMES * chunk - HIDDEN_FRAMES)


def story_from_prompts(
    script: Sequence[tuple[str, int]], identities: Mapping[str, Identity] | None = None
) -> CartoonStory:
    """Make a `CartoonStory` from (prompt, chunks) pairs.

    identities  by character; one that is missing gets the first of IDENTITIES.

    Raises ValueError for a prompt that the cartoon world does not know.
    """
    segments, start = [], 0
    for prompt, chunks in script:
        segments.append(Segment(prompt, parse_prompt(prompt), start, start + chunks))
        start += chunks
    cast = (*KINDS, *(character for segment in segments for character in segment.cast))
    return CartoonStory(tuple(segments), dict.fromkeys(cast, IDENTITIES[0]) | dict(identities or {}))


# -- drawing ---------------------------------------------------------------------------------------------------------


def placements(segment: Segment, frame: int) -> tuple[Placement, ...]:
    """Return the placement of each of the cast in video frame `frame` of the story."""
    time = frame + HIDDEN_FRAMES - CHUNK_FRAMES * segment.start_chunk
    if segment.path is not None:
        return (segment.path[time],)
    return tuple(placement(segment.action, role, time) for role in range(len(segment.cast)))


def render(story: CartoonStory, first_frame: int = 0, end_frame: int | None = None) -> np.ndarray:
    """Draw video frames `first_frame` up to, not including, `end_frame` (None: the end).

    Returns uint8 [frames, SIZE, SIZE, 3], RGB. Raises IndexError for frames outside the story.
    """
    end_frame = story.frames if end_frame is None else end_frame
    pictures = np.empty((end_frame - first_frame, SIZE, SIZE, 3), np.uint8)
    for row, frame in enumerate(range(first_frame, end_frame)):
        segment = story.segment_at(frame)
        identities = tuple(story.identities[kind] for kind in segment.cast)
        pictures[row] = draw(segment.scene, segment.cast, identities, placements(segment, frame))
    return pictures


@lru_cache(maxsize=1024)
def draw(
    scene: str, cast: tuple[str, ...], identities: tuple[Identity, ...], places: tuple[Placement, ...]
) -> np.ndarray:
    """Draw one picture. Returns uint8 [SIZE, SIZE, 3], RGB, which is cached: do not write to it."""
    picture = background(scene).copy()
    for character, identity, (x, up, pose) in zip(cast, identities, places, strict=True):
        paste(picture, sprite(kind_of(character), pose, identity), x, up)
    return np.round(picture).astype(np.uint8)
