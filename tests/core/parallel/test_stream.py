"""A stream on several processes is that of one: latents, decisions, states; and each keeps its part of the cache."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace

import pytest
import torch

from memflow_core.config import LatentShape
from memflow_core.parallel import run
from memflow_core.state import StreamState
from tests.core.parallel.work import Stories, Story, Told

CLOSE = 2e-5
FP8_CLOSE = 2e-3  # where a sum rounds to the other side, a number moves by a step of e4m3

ALONE = {"archive": "latents", "bank_keys": "alone", "record_every": 1}
KEYS = {"archive": "keys", "record_every": 1}

STORIES = {
    "prompt": Story(),
    "attention and SMA": Story({"retrieval": "attention", "top_k": 3, "record_every": 1}),
    "published": Story({"retrieval": "reference", "record_every": 1}),
    "similarity in fp8": Story({"retrieval": "similarity", "cache": "fp8", "record_every": 1}),
    "relative and SMA": Story({"top_k": 2, "record_every": 1}, frames=None),
    "no bank": Story({"retrieval": "none"}),
    "archive by words": Story(ALONE),
    "archive by keys": Story({**ALONE, "archive_rule": "keys"}),
    "archive by attention": Story({**ALONE, "archive_rule": "attention"}),
    "archive of keys": Story(KEYS),
    "archive of keys in fp8, little room": Story(
        {**KEYS, "cache": "fp8", "archive_gb": 1.5e-5, "archive_rule": "keys"}
    ),
    "a picture": Story({"record_every": 1}, pictures=True),
    "a batch": Story({"record_every": 1}, shape=LatentShape(2, 4, 2)),
    "shots in fp8": Story({"retrieval": "shots", "cache": "fp8"}, join="jump"),
    "moments behind a jump, read in one layer": Story({**ALONE, "bank_layers": (1,)}, join="jump"),
    "a new story": Story(
        {"record_every": 1, "retrieval": "attention"}, sampling={"first_steps": (1000, 600)}, join="fresh"
    ),
    "an archive before a new story": Story({**ALONE, "archive_rule": "keys"}, join="fresh"),
    "an averaged sink": Story({**ALONE, "sink": "average", "sink_decay": 0.6}, frames=None),
    "refreshed keys": Story({"record_every": 1, "top_k": 3}, sampling={"refresh": True, "first_steps": (1000, 600)}),
    "one path": Story({"retrieval": "none"}, sampling={"solver": "unipc"}),
    "fewer tokens than processes": Story({"record_every": 1}, shape=LatentShape(2, 2)),
}


# two that differ in all that more processes than heads, or than tokens, change
ON_SIX = ("prompt", "fewer tokens than processes")


@pytest.fixture(scope="module")
def alone() -> dict[str, Told]:
    return {name: story.alone() for name, story in STORIES.items()}


@pytest.fixture(scope="module", params=[2, 3, 6])
def shared(request) -> tuple[int, dict[str, Told]]:
    """Every story on 2 and 3 processes, and some on more than the model has heads."""
    names = ON_SIX if request.param == 6 else tuple(STORIES)
    told = run(Stories(tuple(STORIES[name] for name in names)), processes=request.param, timeout_s=120)
    return request.param, dict(zip(names, told, strict=True))


def decisions(told: Told) -> list[dict]:
    """The trace without its scores and shares, which are sums."""
    left_out = ("scores", "sink", "bank", "window")
    return [{key: value for key, value in record.items() if key not in left_out} for record in told.records]


def sums(told: Told) -> list[torch.Tensor]:
    kept = (record.get(key) for record in told.records for key in ("scores", "sink", "bank", "window"))
    return [torch.tensor(value) for value in kept if value is not None]


@pytest.mark.slow
def test_it_is_the_stream_of_one_process(alone, shared):
    for name, several in shared[1].items():
        one, close = alone[name], FP8_CLOSE if "fp8" in name else CLOSE
        assert (one.latents - several.latents).abs().max() <= close, name
        assert decisions(one) == decisions(several), name
        for ours, theirs in zip(sums(one), sums(several), strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-4, atol=close), name


@pytest.mark.slow
def test_every_process_has_the_same_numbers_and_its_part_of_the_work(alone, shared):
    processes, told = shared
    for name, several in told.items():
        one = alone[name]
        assert len(several.digests) == processes and len(set(several.digests)) == 1, name
        assert sum(several.kept) == one.kept[0] and max(several.kept) <= one.kept[0] * -(-4 // processes) / 4, name
        assert sum(several.computed) == one.computed[0], name
        # of each latent frame one token more at the most
        frames = one.computed[0] / STORIES[name].shape.tokens
        assert max(several.computed) - min(several.computed) <= frames, name


@pytest.mark.slow
def test_its_state_is_that_of_one_process(alone, shared):
    for name, several in shared[1].items():
        assert_alike(alone[name].state, several.state, FP8_CLOSE if "fp8" in name else CLOSE)


def assert_alike(one: StreamState, other: StreamState, close: float) -> None:
    assert one.meta == other.meta
    assert one.tensors.keys() == other.tensors.keys()
    for name in one.tensors.keys() - {"trace"}:
        ours, theirs = one.tensors[name], other.tensors[name]
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, name
        if ours.dtype == torch.uint8:
            assert (ours != theirs).float().mean() < 0.01, name
        else:
            assert torch.allclose(ours.float(), theirs.float(), atol=close, rtol=close), name


@pytest.mark.slow
def test_a_state_goes_on_in_any_number_of_processes(alone):
    """And in as many as made it, bit for bit as if it had not stopped."""
    names = ("attention and SMA", "published", "similarity in fp8")
    whole, first = [STORIES[name] for name in names], [replace(STORIES[name], chunks=9) for name in names]
    undisturbed, stopped = halves(run(Stories((*whole, *first)), processes=2))
    rest = [Story(start=told.state) for told in stopped]
    of_one = [Story(start=story.alone().state) for story in first]
    again, from_one = halves(run(Stories((*rest, *of_one)), processes=2))
    on_three = list(run(Stories(tuple(rest)), processes=3))
    for place, name in enumerate(names):
        assert torch.equal(again[place].latents, undisturbed[place].latents[:, :, 27:]), name
        for told in (rest[place].alone(), on_three[place], from_one[place]):
            close = FP8_CLOSE if "fp8" in name else CLOSE
            assert (told.latents - alone[name].latents[:, :, 27:]).abs().max() <= close, name
            assert decisions(told) == decisions(alone[name]), name


def halves(told: Iterable[Told]) -> tuple[list[Told], list[Told]]:
    every = list(told)
    return every[: len(every) // 2], every[len(every) // 2 :]


@pytest.mark.slow
def test_a_compact_state_is_made_again_in_processes(tmp_path):
    """Through a file, as the nodes save it."""
    first = Story({"retrieval": "prompt", "record_every": 1, "cache": "model"}, chunks=9)
    (told,) = run(first, processes=2)
    told.state.compact().save(tmp_path / "compact.safetensors")
    rest = Story(start=StreamState.load(tmp_path / "compact.safetensors"))
    one = copy.deepcopy(rest).alone()
    (several,) = run(rest, processes=3)
    assert (one.latents - several.latents).abs().max() <= CLOSE
    assert len(set(several.digests)) == 1
