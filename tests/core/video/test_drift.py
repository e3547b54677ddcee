"""What goes wrong with the pictures of a long video is told once, in words; what belongs to the story is not."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

from memflow_core.video import DriftWatch

FPS = 16.0
FRAMES = 12  # a chunk's


@cache
def scene(seed: int, strength: float = 1.0, noise: float = 6.0) -> Tensor:
    """A chunk of a textured picture with a box that moves, [f, H, W, 3] uint8. strength: of colours, 1 is usual."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.rand(6, 10, 3, generator=generator).repeat_interleave(8, 0).repeat_interleave(8, 1)
    frames = []
    for step in range(FRAMES):
        picture = 128 + (base - 0.5) * 160 * strength
        picture[10:20, 2 * step : 2 * step + 10] = 200
        frames.append(picture + noise * torch.randn(picture.shape, generator=generator))
    return torch.stack(frames).round().clamp(0, 255).to(torch.uint8)


def watch(chunks: list[Tensor], starts: tuple[int, ...] = ()) -> tuple[dict, list[tuple[int, str]]]:
    """(report, [(chunk, sentence)]) of a video of chunks."""
    drift, told = DriftWatch(FPS), []
    for number, frames in enumerate(chunks):
        told += [(number, sentence) for sentence in drift.add(number, frames, new_prompt=number in starts)]
    return drift.report(), told


def test_a_steady_story_of_several_scenes_is_told_nothing():
    chunks = [scene(number // 20) for number in range(160)]
    report, told = watch(chunks, starts=tuple(range(0, 160, 20)))
    assert told == [] and report["warnings"] == []
    assert report["chunk"] == list(range(160)) and len(report["contrast"]) == 160
    assert report["edge"][0] is None and all(value > 0 for value in report["edge"][1:])


@pytest.mark.parametrize(
    ("strength", "noise", "word"), [(2.5, 6.0, "saturation"), (0.15, 6.0, "contrast"), (1.0, 60.0, "sharpness")]
)
def test_a_slow_drift_is_told_once_for_each_measure_that_leaves_its_band(strength, noise, word):
    steady = [scene(0) for _ in range(90)]
    drifting = [
        scene(0, 1 + (strength - 1) * step / 60, 6 + (noise - 6) * step / 60) for step in [*range(60), *[60] * 40]
    ]
    report, told = watch([*steady, *drifting])
    sentences = [sentence for _, sentence in told]
    (one,) = [sentence for sentence in sentences if word in sentence]
    assert "first minute" in one and report["warnings"] == sentences
    assert all(number > 90 for number, _ in told)


def test_one_odd_scene_is_no_drift():
    dark = [scene(3, strength=0.2) for _ in range(4)]
    assert watch([*[scene(0) for _ in range(110)], *dark, *[scene(0) for _ in range(40)]], starts=(110, 114))[1] == []


def test_less_than_a_minute_and_a_quarter_has_no_band_yet():
    assert watch([scene(0) for _ in range(80)] + [scene(0, strength=3.0) for _ in range(10)], starts=(80,))[1] == []


def test_a_frozen_picture_is_told():
    still = scene(0)[-1:].expand(FRAMES, -1, -1, -1)
    report, told = watch([scene(0), scene(1), still, still, still, scene(1)], starts=(1, 2, 5))
    ((number, sentence),) = told
    # one still chunk may be meant
    assert number == 3 and "chunks 3 and 4" in sentence and "stands still" in sentence
    assert report["motion"][3] == 0


@pytest.mark.parametrize(("starts", "count"), [((), 1), ((3,), 0)])
def test_a_jump_is_told_where_no_prompt_starts(starts, count):
    calm = [scene(0, noise=0.5)[:1].expand(FRAMES, -1, -1, -1) for _ in range(3)]
    other = [scene(9, noise=0.5)[:1].expand(FRAMES, -1, -1, -1)]
    sentences = [sentence for _, sentence in watch([*calm, *other], starts)[1] if "jumps" in sentence]
    assert len(sentences) == count
    assert all("between chunks 3 and 4" in sentence for sentence in sentences)


def test_frames_of_any_size_are_measured():
    for shape in [(1, 16, 16, 3), (9, 480, 832, 3), (13, 16, 700, 3)]:
        frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        report, _ = watch([frames, frames])
        values = [report[name][1] for name in ("contrast", "saturation", "sharpness", "motion", "edge")]
        assert all(0 <= value <= 255 for value in values)
