"""A story of single segments in a running ComfyUI: what was played holds their prompts, and plays again."""

from __future__ import annotations

import av
import numpy as np

from memflow_core.render import failure
from memflow_core.schedule import read_schedule
from tests.comfyui.test_live import tags_of
from tools.comfy_server import output_files

WORDS = ["a robot walks in the meadow", "an empty beach, a cat:\nreturns | again"]
SMALL = {"width": 32, "height": 32, "length": 33, "fps": 16.0, "steps": "1000", "shift": 5.0, "seed": 91}
FILE = {"format": "mp4 (h264)", "quality": "high", "save_output": True}


def chain(schedule: str, prefix: str = "segments", **nodes) -> dict:
    """A story on the tiny model that plays the schedule of a node; more nodes by id: (class, inputs)."""
    tiny = {"model": ["1", 0], "vae": ["1", 2], "schedule": [schedule, 0]}
    made = {
        "1": ("MemFlowTinyStory", {}),
        "9": ("MemFlowStreamToVideo", tiny | SMALL | FILE | {"filename_prefix": prefix}),
    }
    made |= nodes
    return {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in made.items()}


def segment(conditioning: str, start: float, **more) -> tuple:
    return "MemFlowPromptSegment", {
        "conditioning": [conditioning, 0],
        "start": start,
        "unit": "seconds",
        "switch": "cut",
    } | more


def encoder(text) -> tuple:
    return "CLIPTextEncode", {"clip": ["1", 1], "text": text}


def video_of(comfy, prompt: dict):
    run = comfy.run(prompt)
    assert failure(run.history) is None, failure(run.history)
    (file,) = output_files(run.history, ".mp4")
    return comfy.path_of(file)


def frames_of(path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def again(comfy, played: str):
    schedule = {"clip": ["1", 1], "prompts": played, "global_prompt": ""}
    return video_of(comfy, chain("2", "segments_again", **{"2": ("MemFlowPromptSchedule", schedule)}))


def test_what_was_played_plays_again(comfy):
    text = "PrimitiveStringMultiline", {"value": WORDS[1]}
    nodes = {"3": encoder(WORDS[0]), "4": encoder(["t", 0]), "t": text}
    nodes |= {"5": segment("3", 0.0), "6": segment("4", 1.0, schedule=["5", 0])}
    video = video_of(comfy, chain("6", **nodes))
    played = tags_of(video)["memflow_played"]
    assert [one.prompt for one in read_schedule(played).segments] == WORDS
    assert np.array_equal(frames_of(again(comfy, played)), frames_of(video))


def test_segments_behind_a_schedule_with_a_global_prompt_play_again_too(comfy):
    before = {"clip": ["1", 1], "prompts": "0s: a robot walks", "global_prompt": "in the meadow"}
    nodes = {"2": ("MemFlowPromptSchedule", before), "3": encoder(WORDS[1]), "5": segment("3", 1.0, schedule=["2", 0])}
    video = video_of(comfy, chain("5", "segments_global", **nodes))
    assert np.array_equal(frames_of(again(comfy, tags_of(video)["memflow_played"])), frames_of(video))


def test_words_that_cannot_be_known_are_said_to_be_so(comfy):
    average = {"conditioning_to": ["3", 0], "conditioning_from": ["4", 0], "conditioning_to_strength": 0.5}
    nodes = {
        "3": encoder(WORDS[0]),
        "4": encoder(WORDS[1]),
        "5": ("ConditioningAverage", average),
        "6": segment("5", 0.0),
    }
    video = video_of(comfy, chain("6", "segments_unknown", **nodes))
    played = read_schedule(tags_of(video)["memflow_played"])
    assert [one.prompt for one in played.segments] == [
        "segment 1 (words not known, they come from ConditioningAverage)"
    ]
