"""How closely a character follows a drawn mark, and whether it then comes back as itself: the tiny model's control.

    python -m benchmarks.follow [--control FILE] [--stories 24] [--seed 1] [--pictures DIR] [OUT.json]

A story: an empty scene, the character led along a path, an empty scene and another character elsewhere, and the first
one back, led along another path. All of it is the model's own. Every fourth video frame of a led segment is read: is
the character there where its mark is (at most 3 pixels off), against the same story and noise without control; and does
the returned one have the look that the first one got.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from memflow_core.config import LatentShape, MemoryConfig
from memflow_core.model import Backbone
from memflow_core.stream import ChunkControl, ControlPart, Stream
from memflow_core.weights import ASSETS, TINY_CONTROL, read_control
from training.cartoons import (
    CHUNK_FRAMES,
    CHUNK_LATENTS,
    KINDS,
    SCENES,
    CartoonStory,
    Identity,
    Mark,
    Segment,
    identify,
    parse_prompt,
    placements,
    sample_path,
    start_frame,
)
from training.control import MarkLatents
from training.generator import SIDE, EncodedStory

from .recall import Models, StoryNoise

REACH = 3  # pixels that a character may be off its mark
EVERY = 4  # video frames
_LENGTHS = (2, 5, 5, 6, 5)  # chunks of the segments


@dataclass(frozen=True)
class Followed:
    """What was read of stories.

    there    share of led video frames in which the character is where its mark is.
    as_made  share of stories whose returned character has the look that the first one got, of those that show both.
    stories  of which so many show both.
    """

    there: float
    as_made: float
    stories: int


def led_story(seed: int) -> CartoonStory:
    """Draw a story of two led segments. The same seed gives the same story."""
    rng = np.random.default_rng([seed, 11])
    kind, other = (KINDS[i] for i in rng.permutation(len(KINDS))[:2])
    home, away, third = (SCENES[i] for i in rng.permutation(len(SCENES))[:3])
    where = {"meadow": "in the meadow", "beach": "on the beach", "city": "in the city", "snow": "in the snow"}
    prompts = (
        f"an empty {away}",
        f"a {kind} walks across the {home}",
        f"an empty {third}",
        f"a {other} waves {where[away]}",
        f"the {kind} walks across the {home} again",
    )
    segments, start = [], 0
    for number, (prompt, length) in enumerate(zip(prompts, _LENGTHS, strict=True)):
        path = sample_path(rng, CHUNK_FRAMES * length) if number in (1, 4) else None
        segments.append(Segment(prompt, parse_prompt(prompt), start, start + length, path))
        start += length
    return CartoonStory(tuple(segments), dict.fromkeys((kind, other), Identity(0, 0, 0)))


class MarkControl:
    """Control of stories that are cut alike, by the marks of their paths; a `ControlSource`."""

    parts: tuple[ControlPart, ...] = ()
    steers = True

    def __init__(self, stories: Sequence[CartoonStory], marks: MarkLatents):
        encoded = [EncodedStory(story, np.arange(CHUNK_LATENTS * story.chunks)) for story in stories]
        marks.add(encoded)
        self._frames = CHUNK_LATENTS * stories[0].chunks
        self._stories = len(stories)
        self._marks = marks
        self._led = {c for s in stories[0].segments if s.path for c in range(s.start_chunk, s.end_chunk)}

    def of_chunk(self, index: int) -> ChunkControl | None:
        if index not in self._led:
            return None
        frames = CHUNK_LATENTS * index + torch.arange(CHUNK_LATENTS)
        indices = self._frames * torch.arange(self._stories)[:, None] + frames
        return ChunkControl(self._marks.of(indices).movedim(2, 1), (1.0,) * CHUNK_LATENTS)

    def state_dict(self, index: int) -> dict[str, Tensor]:
        raise NotImplementedError(f"these stories are streamed in one go, so none is kept at chunk {index}")

    def load_state_dict(self, index: int, state: dict[str, Tensor]) -> None:
        if state:
            raise NotImplementedError(f"these stories are streamed in one go, so none goes on at chunk {index}")


@torch.inference_mode()
def stream_stories(
    models: Models, stories: Sequence[CartoonStory], seed: int, control: Path | None, mark: Mark | None = None
) -> np.ndarray:
    """Stream stories side by side: video frames uint8 [stories, frames, SIZE, SIZE, 3].

    control  a file of control weights; None: nothing leads.
    mark     how all marks are drawn; None: at random.
    """
    branch = None
    if control is not None:
        weights = read_control(control)
        branch = weights.tree(models.tree.blocks[0].self_attn.num_heads).to_empty(device="cpu")
        branch.load_state_dict({name: value.float() for name, value in weights.state_dict.items()})
    backbone = Backbone(models.tree, control=branch)
    frames = CHUNK_LATENTS * stories[0].chunks
    noise = StoryNoise([seed * 1_000_003 + number for number in range(len(stories))])
    memory = MemoryConfig(retrieval="prompt", bank_keys="alone")
    stream = Stream(backbone, LatentShape(SIDE, SIDE, len(stories)), memory=memory, noise=noise, frames=frames)
    if branch is not None:
        stream.steering.source = MarkControl(stories, MarkLatents(models.codec, seed, mark))
    latents = []
    for number, segment in enumerate(stories[0].segments):
        stream.set_prompt(models.embed([story.segments[number].prompt for story in stories]))
        latents += [next(stream).latents.movedim(2, 1) for _ in range(segment.start_chunk, segment.end_chunk)]
    return models.codec.decode(torch.cat(latents, 1))


def read_stories(pictures: np.ndarray, stories: Sequence[CartoonStory]) -> Followed:
    """Read pictures as `stream_stories` returns them."""
    there, same = [], []
    for story, film in zip(stories, pictures, strict=True):
        looks = []
        for segment in story.segments:
            if segment.path is None:
                continue
            found = []
            for frame in range(start_frame(segment.start_chunk) + EVERY, start_frame(segment.end_chunk), EVERY):
                where = placements(segment, frame)[0]
                match = identify(film[frame], segment.scene, segment.cast[0], where, REACH)
                found.append(match.identity if match.is_present() else None)
            there += [identity is not None for identity in found]
            seen = [identity for identity in found if identity is not None]
            looks.append(max(set(seen), key=seen.count) if seen else None)
        if None not in looks:
            same.append(looks[0] == looks[-1])
    return Followed(float(np.mean(there)), float(np.mean(same)) if same else 0.0, len(same))


def main() -> None:
    parser = argparse.ArgumentParser(description="How closely a character follows a drawn mark.")
    parser.add_argument("out", type=Path, nargs="?", help="JSON file for the result")
    parser.add_argument("--control", type=Path, default=ASSETS / TINY_CONTROL, help="control weights")
    parser.add_argument("--model", type=Path, default=ASSETS, help="folder of the tiny model's files")
    parser.add_argument("--stories", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="write the first stories there as strips")
    arguments = parser.parse_args()
    models = Models.read(arguments.model)
    stories = [led_story(arguments.seed * 10_000 + number) for number in range(arguments.stories)]
    result = {"stories": arguments.stories, "seed": arguments.seed, "control": arguments.control.name}
    for name, control in (("led", arguments.control), ("not led", None)):
        pictures = stream_stories(models, stories, arguments.seed, control)
        result[name] = read_stories(pictures, stories).__dict__
        if arguments.pictures and control is not None:
            _write_strips(pictures, stories, arguments.pictures)
    print(json.dumps(result, indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(result, indent=1) + "\n")


def _write_strips(pictures: np.ndarray, stories: Sequence[CartoonStory], folder: Path) -> None:
    """A picture for each of the first stories: led video frames above, their marks below."""
    from PIL import Image

    from training.cartoons import draw_marks

    folder.mkdir(parents=True, exist_ok=True)
    for number, (story, film) in enumerate(zip(stories[:6], pictures, strict=False)):
        rows = []
        for segment in (segment for segment in story.segments if segment.path):
            frames = range(start_frame(segment.start_chunk), start_frame(segment.end_chunk), 5)
            marks = draw_marks([placements(segment, f)[0] for f in frames], Mark("box", (255, 255, 255), 10))
            rows += [np.concatenate([film[f] for f in frames], 1), np.concatenate(list(marks), 1)]
        Image.fromarray(np.concatenate(rows)).save(folder / f"story_{number}.png")


if __name__ == "__main__":
    main()
