"""Estimates of control, compared with what is there and what a run does."""

from __future__ import annotations

import json

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.estimate import ControlWork, Footprint, estimate
from memflow_core.model import ModelSize, WanControl, control_weights_of
from memflow_core.schedule import ChunkGrid, PromptSchedule, Segment, Time

FULL = ModelSize(layers=30, dim=1536, heads=12, ffn_dim=8960)
# of a story of 117 video frames: spans, chunks that are made already, passes and video frames that are steered
SPANS = {
    "none": ([], 0, 0, 0),
    "all": ([(0, None)], 0, 10 * 2 + 2, 117),
    "the first frame": ([(0, 1)], 0, 4, 1),
    "a frame in the middle": ([(50, 51)], 0, 2, 1),
    "two in one chunk": ([(46, 47), (50, 51)], 0, 2, 2),
    "over an edge": ([(56, 58)], 0, 4, 2),
    "what is made already": ([(0, 30)], 4, 0, 0),
    "the rest": ([(0, None)], 4, 12, 117 - 45),
    "past the end": ([(100, 500)], 0, 4, 17),
}


def counted(spans, done=0, **more):
    plan = PromptSchedule((Segment(Time(0, "s"), "one"),)).place(ChunkGrid(), Time(10, "chunks"))
    control = ControlWork(spans, blocks=15, weights=10**9, number_bytes=2, **more)
    shape = LatentShape(60, 104)
    sampling = SamplingConfig(steps=(1000, 500), first_steps=(1000, 750, 500, 250))
    options = {"memory": MemoryConfig(), "plan": plan, "sampling": sampling, "done": done}
    return estimate(FULL, shape, **options, control=control), estimate(FULL, shape, **options)


@pytest.mark.parametrize("name", SPANS)
def test_the_passes_that_a_control_steers_are_counted(name):
    spans, done, passes, px = SPANS[name]
    steered, free = counted(spans, done)
    assert (steered.steered, free.steered) == (passes, 0)
    assert (steered.steered_seconds, free.steered_seconds) == (px / 16, 0)
    assert steered.control_blocks == (15 if spans else 0)
    # they are passes of denoising, not more of them
    assert steered.forwards == free.forwards


def test_its_bytes_are_on_the_device_and_its_carry_in_the_state():
    steered, free = counted([(0, None)], vae_bytes=5)
    carry = 2 * 1386 * 832 * 480 * 2
    assert steered.state_bytes - free.state_bytes == steered.control_state_bytes == carry
    assert steered.device_bytes - free.device_bytes == steered.control_bytes
    assert 10**9 + carry < steered.control_bytes < 10**9 + carry + 2**30
    # weights can be kept elsewhere until they are needed, all else cannot
    with_control, without = (Footprint(one, LatentShape(60, 104), 7, None) for one in (steered, free))
    assert with_control.fixed_bytes - without.fixed_bytes == steered.control_bytes - 10**9 - 5
    assert json.loads(json.dumps(steered.to_dict()))["steered"] == 22


@pytest.mark.parametrize(
    ("span", "strength", "left_out", "px"),
    [
        ((0, None), 1.0, 3 + 9, 117),
        ((0, None), 0.5, 2 + 9, 117),
        ((0, 8), 1.0, 0, 0),
        ((0, 9), 1.0, 3, 9),
        ((9, 33), 1.0, 2, 24),
        ((0, None), 0.1, 0, 117),
    ],
)
def test_steps_that_pictures_stand_for_are_not_counted(span, strength, left_out, px):
    remade, free = counted([], remade=[(*span, strength)])
    assert free.denoise - remade.denoise == remade.left_out == left_out
    assert (remade.steered, remade.control_blocks, remade.remade_seconds) == (0, 0, px / 16)
    assert remade.control_state_bytes == 1386 * 832 * 480 * 2


@pytest.mark.parametrize("blocks", [1, 3])
def test_numbers_of_control_weights_are_counted(blocks):
    config = ModelConfig(dim=64, num_heads=2, num_layers=3, ffn_dim=48, text_dim=8)
    with torch.device("meta"):
        tree = WanControl(config, blocks, 96)
    assert control_weights_of(ModelSize.of(config), blocks) == sum(p.numel() for p in tree.parameters())


def test_the_published_module_is_about_0_7_billion_numbers():
    assert 0.70e9 < control_weights_of(FULL, 15) < 0.75e9
