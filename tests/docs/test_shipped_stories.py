"""The stories of the workflow files, told by the tiny story model: each prompt shows the scene, character and action
that it names. Several streams are told at once, for another seed is another cast."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from benchmarks.recall.evaluate import SegmentScores, evaluate_segment
from benchmarks.recall.stream import Models
from memflow_core.config import LatentShape, MemoryConfig
from memflow_core.model import Backbone
from memflow_core.play import play
from memflow_core.schedule import ChunkGrid, Time, read_schedule
from memflow_core.stream import Stream
from memflow_core.weights import ASSETS
from tools.stories.first import SEGMENTS, SEGMENTS_FRAMES, TINY_STORY_FRAMES, TINY_STORY_TEXT
from tools.stories.going_on import BEGINNING, BEGINNING_FRAMES, ENDING_FRAMES, ENDINGS, FROM_PICTURES, PICTURES_FRAMES
from tools.stories.parts import SEED
from training.cartoons.story import CartoonStory, Segment, story_from_prompts
from training.generator.latents import CHUNK, SIDE

STREAMS = 4
# at the ends of chunks; who leaves is gone by the last ones, and who walks long is not where the drawing has it
LEAST = {"character": 0.5, "scene": 0.75, "action": 1.0}
STORIES = {
    "tiny_story": (TINY_STORY_TEXT, TINY_STORY_FRAMES),
    "node_by_node": ("\n".join(f"{start}s: {prompt}" for start, prompt in SEGMENTS), SEGMENTS_FRAMES),
    "picture_to_story": (FROM_PICTURES, PICTURES_FRAMES),
    **{name: (f"{BEGINNING}\n{ending}", BEGINNING_FRAMES + ENDING_FRAMES) for name, ending in ENDINGS.items()},
}


@pytest.fixture(scope="module")
def models() -> Models:
    return Models.read(ASSETS)


@pytest.mark.parametrize("name", STORIES)
def test_every_prompt_is_followed(name, models):
    story, latents = tell(models, name, STREAMS, seed=1)
    for segment in story.segments:
        if len(segment.cast) == 1:
            right = [shown(models, latents[item : item + 1], segment).right for item in range(STREAMS)]
            for asked, least in LEAST.items():
                told = sum(one[asked] >= least for one in right)
                assert told > STREAMS / 2, f"{segment.prompt}: {asked} right in {told} of {STREAMS} streams"


@pytest.mark.parametrize("name", ["tiny_story", "node_by_node", "ending_one"])
def test_the_robot_that_a_user_sees_comes_back_as_itself(name, models):
    story, latents = tell(models, name, 1, SEED)
    readings = [shown(models, latents, segment).readings for segment in story.segments if segment.cast == ("robot",)]
    first, *later = (Counter(filter(None, read)).most_common(1)[0][0] for read in readings)
    assert later and set(later) == {first}


def tell(models: Models, name: str, streams: int, seed: int) -> tuple[CartoonStory, torch.Tensor]:
    """The story and its latents [streams, frames, LATENTS, SIDE, SIDE]."""
    text, frames = STORIES[name]
    plan = read_schedule(text).place(ChunkGrid(fps=16.0), Time(frames, "frames"))
    stream = Stream(Backbone(models.tree), LatentShape(SIDE, SIDE, streams), MemoryConfig())
    prompts = [models.embed([segment.prompt]) for segment in plan.segments]
    with torch.inference_mode():
        latents = torch.cat([chunk.latents.movedim(2, 1) for chunk in play(stream, plan, prompts, seed)], 1)
    return story_from_prompts(
        [(segment.prompt, segment.end_chunk - segment.start_chunk) for segment in plan.segments]
    ), latents


def shown(models: Models, latents: torch.Tensor, segment: Segment) -> SegmentScores:
    """One stream's pictures of a segment, read."""
    chunks = range(segment.start_chunk, segment.end_chunk)
    pictures = models.codec.decode_part(latents, CHUNK * chunks.start, CHUNK * chunks.stop)[0]
    return evaluate_segment(pictures, segment, chunks, segment.cast[0])
