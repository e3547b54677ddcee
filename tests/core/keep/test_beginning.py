"""The digest of a beginning: every input that decides a number changes it, nothing else does, and nothing later."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, SamplingConfig
from memflow_core.keep import Setting, beginning, ends_of_parts, fingerprint, is_part_end, place_of, tree_fingerprint
from memflow_core.schedule import ChunkGrid, Time, read_schedule

STORY = "pin hero: 0.5s\npin: 1s\n0s: a robot\n3c [blend 2]: a cat\n6c [hero]: the robot"
SETTING = Setting("a model", LatentShape(4, 6), MemoryConfig(), SamplingConfig(), "absolute")
CHUNKS, SEED = 9, 5


def embedding_of(prompt: str) -> torch.Tensor:
    return torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(sum(map(ord, prompt))))


def digest(text=STORY, chunk=CHUNKS, *, setting=SETTING, seed=SEED, fps=16.0, chunks=CHUNKS, weights=None, say=None):
    plan = read_schedule(text).place(ChunkGrid(fps=fps), Time(chunks, "chunks"))
    embeddings = [embedding_of((say or {}).get(segment.prompt, segment.prompt)) for segment in plan.segments]
    return beginning(setting, seed, plan, embeddings, weights or [""] * len(embeddings), chunk)


def changed(**settings) -> Setting:
    return replace(SETTING, **settings)


OTHER = {
    "model": {"setting": changed(model="another")},
    "size": {"setting": changed(shape=LatentShape(6, 4))},
    "batch": {"setting": changed(shape=LatentShape(4, 6, 2))},
    "steps": {"setting": changed(sampling=SamplingConfig(steps=(1000, 500)))},
    "shift": {"setting": changed(sampling=SamplingConfig(shift=3.0))},
    "warp": {"setting": changed(sampling=SamplingConfig(warp=False))},
    "context noise": {"setting": changed(sampling=SamplingConfig(context_noise=1.0))},
    "positions": {"setting": changed(positions="relative")},
    "start": {"setting": changed(start="pictures")},
    "control": {"setting": changed(also=("depth",))},
    "seed": {"seed": SEED + 1},
    "one chunk less": {"chunk": CHUNKS - 1},
    "what a prompt says": {"say": {"a robot": "a toad"}},
    "weights under a prompt": {"weights": ["", "hooks 1", ""]},
    "switch": {"text": STORY.replace("blend 2", "cut")},
    "length of a blend": {"text": STORY.replace("blend 2", "blend 3")},
    "path of a blend": {"text": STORY.replace("blend 2", "blend 2 spherical")},
    "seed of a prompt": {"text": STORY.replace("[hero]", "[hero] [seed 1]")},
    "start of a prompt": {"text": STORY.replace("3c", "4c")},
    "recall": {"text": STORY.replace("[hero]", "")},
    "time of a pin": {"text": STORY.replace("0.5s", "1.5s")},
    "name of a pin": {"text": STORY.replace("hero", "star")},
    "pin for good": {"text": STORY.replace("pin: 1s\n", "")},
    "pin more": {"text": f"pin more: 2s\n{STORY}"},
    "prompt less": {"text": STORY.replace("3c [blend 2]: a cat\n", "")},
}
OTHER |= {
    f"memory: {name}": {"setting": changed(memory=replace(MemoryConfig(), **{name: value}))}
    for name, value in {
        "retrieval": "fifo",
        "sink_frames": 6,
        "window_frames": 6,
        "bank_frames": 6,
        "record_every": 1,
        "top_k": 2,
        "pins": (3,),
        "global_sink": False,
        "record": "latest",
        "cache": "fp8",
    }.items()
}
SAME = {
    "a seed of their own that is the run's": {"text": STORY.replace("[hero]", f"[hero] [seed {SEED}]")},
    "words that say the same to the model": {
        "text": STORY.replace("a cat", "a  kitten"),
        "say": {"a  kitten": "a cat"},
    },
    "times in another unit": {"text": STORY.replace("3c", "33f").replace("6c", "69f")},
    "rate, where chunks stay": {"text": STORY.replace("0.5s", "8f").replace("1s", "16f"), "fps": 24.0},
    "a longer story": {"chunks": 40},
    "later prompts": {"text": f"{STORY}\n9c [cut]: an end", "chunks": 12},
    "later pins": {"text": f"pin late: 10c\n{STORY}", "chunks": 12},
    "the switch of the first prompt": {"text": STORY.replace("0s:", "0s [cut]:")},
    "the setting `auto` of positions": {"setting": changed(memory=MemoryConfig(positions="absolute"))},
}


@pytest.mark.parametrize("change", OTHER)
def test_what_decides_a_number_changes_the_digest(change):
    assert digest(**OTHER[change]) != digest()


@pytest.mark.parametrize("change", SAME)
def test_what_decides_none_does_not(change):
    assert digest(**SAME[change]) == digest()


@pytest.mark.parametrize("chunk", [1, 3, 4, 6])
def test_nothing_later_counts(chunk):
    later = STORY.replace("6c [hero]: the robot", "6c [cut]: a bird\n8c: a fish")
    assert digest(later, chunk) == digest(chunk=chunk)
    assert len({digest(chunk=chunk) for chunk in range(1, CHUNKS + 1)}) == CHUNKS


def test_every_number_of_a_tensor_counts():
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.uint8, torch.bool):
        tensor = (torch.rand(3, 700_001) > 0.5).to(dtype)
        seen = {fingerprint(tensor)}
        for place in (0, 1, 699_999, 700_001, 2_100_002):
            other = tensor.clone()
            other.view(-1).view(torch.uint8)[place * tensor.element_size()] ^= 1
            seen.add(fingerprint(other))
        assert len(seen) == 6
        assert fingerprint(tensor.clone()) in seen and fingerprint(tensor.T.contiguous().T) in seen


def test_dtype_shape_and_order_count():
    zeros = torch.zeros(4, 6)
    others = [zeros.view(6, 4), zeros.half(), zeros.int(), torch.zeros(4, 7), torch.zeros(0), zeros[:, :2]]
    assert len({fingerprint(tensor) for tensor in [zeros, *others]}) == 7
    pair = torch.arange(64.0).view(2, 32)
    assert fingerprint(pair) != fingerprint(pair.flip(0)) and fingerprint(pair[1]) != fingerprint(pair[0])
    assert fingerprint(pair[:, 1:]) == fingerprint(pair[:, 1:].clone())


def test_a_tree_is_told_by_names_and_buffers_too():
    first, second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
    second.load_state_dict(first.state_dict())
    assert tree_fingerprint(first) == tree_fingerprint(second)
    assert tree_fingerprint(first, [("patch", 1)]) != tree_fingerprint(first)
    second.register_buffer("table", torch.zeros(1))
    assert tree_fingerprint(first) != tree_fingerprint(second)


def test_parts_end_where_prompts_start_and_in_long_ones():
    plan = read_schedule("0s: a\n3c: b\n100c: c").place(ChunkGrid(), Time(111, "chunks"))
    assert ends_of_parts(plan) == [3, 43, 83, 100, 111]
    assert ends_of_parts(plan, 50) == [3, 43, 50] and ends_of_parts(plan, 0) == []
    assert [chunk for chunk in range(112) if is_part_end(plan, chunk)] == ends_of_parts(plan)


def place(text=STORY, number=2, *, setting=SETTING, seed=SEED, chunks=CHUNKS):
    plan = read_schedule(text).place(ChunkGrid(fps=16.0), Time(chunks, "chunks"))
    return place_of(setting, seed, plan, [segment.prompt for segment in plan.segments], (), number)


OTHER_PLACE = {
    "its prompt": STORY.replace("the robot", "the cat"),
    "where it starts": STORY.replace("6c", "5c"),
    "how it takes over": STORY.replace("6c [hero]", "6c [hero] [cut]"),
    "what it recalls": STORY.replace("[hero]", ""),
    "a prompt before it": STORY.replace("a cat", "a dog"),
    "the seed of one before it": STORY.replace("[blend 2]", "[blend 2] [seed 1]"),
    "a pin before it": STORY.replace("pin: 1s", "pin: 1.5s"),
}
SAME_PLACE = {
    "its seed": STORY.replace("[hero]", "[hero] [seed 3]"),
    "how long it lasts": f"{STORY}\n8c: a dog",
    "a pin after its start": f"pin later: 5s\n{STORY}",
}


@pytest.mark.parametrize("kind", OTHER_PLACE)
def test_takes_of_another_place_are_others(kind):
    assert place(OTHER_PLACE[kind]) != place()


@pytest.mark.parametrize("kind", SAME_PLACE)
def test_takes_of_one_place_have_it_in_common(kind):
    assert place(SAME_PLACE[kind]) == place()


def test_a_place_has_the_seed_and_the_setting_of_what_is_before_it():
    assert place(seed=SEED + 1) != place() != place(setting=changed(model="another"))
    # but the first segment has nothing before it
    assert place(number=0, seed=SEED + 1) == place(number=0) != place(number=1)


def test_code_that_makes_other_numbers_makes_other_beginnings(monkeypatch):
    before = digest()
    monkeypatch.setattr(sys.modules["memflow_core.keep.beginning"], "NUMBERS", 99)
    assert digest() != before
