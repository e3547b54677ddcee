"""The stories of the workflow files, made by the tiny story model: each prompt shows the scene, character and action
that it names. Several streams run side by side, each with another seed and so with other identities."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from benchmarks.recall import Models, SegmentScores, evaluate_segment
from memflow_core.config import LatentShape
from memflow_core.model import Backbone
from memflow_core.play import EncodedSchedule, play
from memflow_core.profiles import PROFILES
from memflow_core.schedule import ChunkGrid, Time, read_schedule
from memflow_core.stream import Stream
from memflow_core.weights import ASSETS
from tools.stories.continued import BEGINNING, BEGINNING_FRAMES, ENDING_FRAMES, ENDINGS, FROM_PICTURES, PICTURES_FRAMES
from tools.stories.first import SEGMENTS, SEGMENTS_FRAMES, TINY_STORY_FRAMES, TINY_STORY_TEXT
from tools.stories.parts import SEED
from training.cartoons import CHUNK_LATENTS, CartoonStory, Segment, story_from_prompts
from training.generator import SIDE

pytestmark = pytest.mark.slow
STREAMS = 4
# at the ends of chunks; a character that leaves is gone in the last ones, and one that walks on is off the drawing's
# place
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
    story, latents = generate(models, name, STREAMS, seed=1)
    for segment in story.segments:
        if len(segment.cast) == 1:
            right = [segment_scores(models, latents[item : item + 1], segment).right for item in range(STREAMS)]
            for part, least in LEAST.items():
                count = sum(one[part] >= least for one in right)
                assert count > STREAMS / 2, f"{segment.prompt}: {part} right in {count} of {STREAMS} streams"


@pytest.mark.parametrize("name", ["tiny_story", "node_by_node", "ending_one"])
def test_the_robot_that_a_user_sees_comes_back_as_itself(name, models):
    story, latents = generate(models, name, 1, SEED)
    robot = [segment for segment in story.segments if segment.cast == ("robot",)]
    identities = [segment_scores(models, latents, segment).identities for segment in robot]
    first, *later = (Counter(filter(None, found)).most_common(1)[0][0] for found in identities)
    assert later and set(later) == {first}


def generate(models: Models, name: str, streams: int, seed: int) -> tuple[CartoonStory, torch.Tensor]:
    """Make a story. Returns it and its latents, float32 [streams, frames, LATENTS, SIDE, SIDE]."""
    text, frames = STORIES[name]
    schedule = read_schedule(text)
    plan = schedule.place(ChunkGrid(fps=16.0), Time(frames, "frames"))
    stream = Stream(Backbone(models.tree), LatentShape(SIDE, SIDE, streams), memory=PROFILES["Tiny story model"].memory)
    prompts = EncodedSchedule(schedule, plan, [models.embed([segment.prompt]) for segment in plan.segments])
    with torch.inference_mode():
        latents = torch.cat([chunk.latents.movedim(2, 1) for chunk in play(stream, prompts, seed)], 1)
    return story_from_prompts(
        [(segment.prompt, segment.end_chunk - segment.start_chunk) for segment in plan.segments]
    ), latents


def segment_scores(models: Models, latents: torch.Tensor, segment: Segment) -> SegmentScores:
    """Score one stream's pictures of a segment."""
    chunks = range(segment.start_chunk, segment.end_chunk)
    pictures = models.codec.decode_part(latents, CHUNK_LATENTS * chunks.start, CHUNK_LATENTS * chunks.stop)[0]
    return evaluate_segment(pictures, segment, chunks, segment.cast[0])
