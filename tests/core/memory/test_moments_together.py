"""Moments that are read alone, several of them in one pass: each is what it would be by itself."""

from __future__ import annotations

import gc
from types import SimpleNamespace
from weakref import ref

import pytest
import torch

from memflow_core.model import Backbone
from memflow_core.stream import moments

SHOTS, CHUNKS = 3, 2
MEMORY = {"bank_keys": "alone", "archive": "latents", "record_every": 1, "bank_frames": 2}
SETTINGS = {
    "absolute": {},
    "relative": {"positions": "relative"},
    "fp8": {"cache": "fp8"},
    "two stories": {"batch": 2},
    "without a sink": {"sink_frames": 0},
}


def played(make_stream, play, prompt, **settings):
    """A stream with a cut and a jump of positions, and a few of its frames, of several prompts."""
    batch = settings.get("batch", 1)
    stream = make_stream(**MEMORY, **settings)
    texts = [torch.cat([prompt(number + item) for item in range(batch)]) for number in range(SHOTS)]
    play(stream, SHOTS * CHUNKS, {CHUNKS * shot: (texts[shot], "cut" if shot == 2 else "recache") for shot in range(3)})
    frames = list(stream.memory.recollection.archive.prompts)
    assert len(frames) == SHOTS * CHUNKS
    return stream, frames


def passes_of(stream, monkeypatch):
    """Latent frames of each pass from now on."""
    counts, write = [], stream.backbone.write

    def counted(x, *arguments):
        counts.append(x.shape[2])
        return write(x, *arguments)

    monkeypatch.setattr(stream.backbone, "write", counted)
    return counts


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_each_is_what_it_is_by_itself(make_stream, play, prompt, settings, monkeypatch):
    stream, frames = played(make_stream, play, prompt, **settings)
    counts, announced = passes_of(stream, monkeypatch), []
    stream.on_forward = lambda forward: announced.append(forward.kind)
    wanted = [frames[4], *frames[:4]]
    together = dict(stream.memory.recollection.moments.read_alone(wanted))
    assert together.keys() == {*wanted} and counts == [5]
    # progress counts what a plan counts
    assert announced == ["moment"] * 5
    for frame in wanted:
        ((same, by_itself),) = stream.memory.recollection.moments.read_alone([frame])
        assert same == frame and together[frame].parts.keys() == by_itself.parts.keys()
        for name, part in by_itself.parts.items():
            # a number in fp8 may be rounded to its neighbour
            near = 1 if part.dtype == torch.uint8 else 1e-5
            assert (together[frame].parts[name].float() - part.float()).abs().max() <= near, name
    first, other = (together[frame].k for frame in wanted[:2])
    assert not torch.allclose(first.float(), other.float(), atol=1e-2)


def test_large_ones_go_one_by_one(make_stream, play, prompt, monkeypatch):
    stream, frames = played(make_stream, play, prompt)
    counts = passes_of(stream, monkeypatch)
    layer = stream.prompt.kv[0]
    of_prompt = stream.backbone.layers * (layer.k.nbytes + layer.v.nbytes)
    monkeypatch.setattr(moments, "TOGETHER_BYTES", 2 * (stream.cache.frame_bytes + of_prompt))
    assert {frame for frame, _ in stream.memory.recollection.moments.read_alone(frames[:5])} == {*frames[:5]}
    monkeypatch.setattr(moments, "TOGETHER_BYTES", 1)
    list(stream.memory.recollection.moments.read_alone(frames[:2]))
    assert counts == [2, 2, 1, 1, 1]


def test_those_of_each_set_of_weights_go_together(make_stream, play, prompt, backbone, monkeypatch):
    stream, frames = played(make_stream, play, prompt)
    counts, asked = passes_of(stream, monkeypatch), []
    monkeypatch.setattr(backbone, "_weight_sets", SimpleNamespace(select=asked.append))
    for number, frame in enumerate(frames[:4]):
        monkeypatch.setattr(stream.provenance.origin_of(frame)[1], "weights", ("", "hero")[number % 2])
    assert {frame for frame, _ in stream.memory.recollection.moments.read_alone(frames[:4])} == {*frames[:4]}
    # and in the end those of the prompt
    assert counts == [2, 2] and asked == ["hero", ""]


def test_a_run_that_is_stopped_between_two_has_the_prompts_weights(make_stream, play, prompt, backbone, monkeypatch):
    stream, frames = played(make_stream, play, prompt)
    asked = []
    monkeypatch.setattr(backbone, "_weight_sets", SimpleNamespace(select=asked.append))
    monkeypatch.setattr(moments, "TOGETHER_BYTES", 1)
    for frame in frames[:2]:
        monkeypatch.setattr(stream.provenance.origin_of(frame)[1], "weights", "hero")
    reading = stream.memory.recollection.moments.read_alone(frames[:2])
    next(reading)
    reading.close()
    assert asked == ["hero", ""]


def test_where_the_room_of_one_is_left_it_is_free_for_the_next(make_stream, play, prompt, monkeypatch):
    """A latent frame's keys of a real model take hundreds of megabytes."""
    stream, _ = played(make_stream, play, prompt)
    alive, made = [], []
    monkeypatch.setattr(moments, "TOGETHER_BYTES", 1)
    write = stream.backbone.write

    def counted(x, *arguments):
        gc.collect()
        alive.append(sum(ref() is not None for ref in made))
        return write(x, *arguments)

    like = stream.cache.like

    def noted(layout):
        cache = like(layout)
        made.append(ref(cache.k))
        return cache

    monkeypatch.setattr(stream.backbone, "write", counted)
    monkeypatch.setattr(stream.cache, "like", noted)
    stream.memory.recollection.refill(
        stream.progress.chunk, stream.prompt.keys, lambda frame: True, pinned=[], reserved=0, kept={}
    )
    assert len(alive) >= 1 and set(alive) == {1}


def test_frames_with_longer_prompts_go_apart(make_stream, play, prompt, monkeypatch):
    stream, frames = played(make_stream, play, prompt)
    counts, origin_of = passes_of(stream, monkeypatch), stream.provenance.origin_of
    longer = origin_of(frames[0])[1]
    monkeypatch.setattr(longer, "text", torch.cat((longer.text, longer.text), dim=1), raising=False)
    list(stream.memory.recollection.moments.read_alone([frames[0], *frames[2:4]]))
    assert counts == [1, 2]


def test_where_another_pack_attends_each_goes_by_itself(make_stream, play, prompt, backbone, monkeypatch):
    """It is told of latent frames and prompts as they go through the model by themselves."""
    stream, frames = played(make_stream, play, prompt)
    counts, texts = passes_of(stream, monkeypatch), []
    told = SimpleNamespace(on_pass=lambda *_: None, on_block=lambda _: None)
    monkeypatch.setattr(backbone, "_listener", told)
    list(stream.memory.recollection.moments.read_alone(frames[:3]))
    assert counts == [1, 1, 1]
    monkeypatch.setattr(backbone, "_listener", None)

    def attend(x, text):
        texts.append(len(text))
        return torch.zeros_like(x)

    monkeypatch.setattr(backbone, "_cross_attention", {0: attend})
    list(stream.memory.recollection.moments.read_alone(frames[:3]))
    assert set(texts) == {1}


def test_compiled_forms_see_one_text_for_each_story(backbone, make_stream, play, prompt):
    """Else one more would be compiled at the first prompt that asks for as many moments as a chunk has frames."""
    called = []

    def compiler(function):
        def counted(*arguments):
            called.append(function.__name__)
            return function(*arguments)

        return counted

    compiling = Backbone(backbone.tree, compiler=compiler)
    stream, frames = played(make_stream, play, prompt)
    compiling.compile_for((1, compiling.channels, 3, 4, 6))
    stream.backbone = compiling
    called.clear()
    list(stream.memory.recollection.moments.read_alone(frames[:3]))
    assert not called
