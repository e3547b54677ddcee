"""Malformed state files: values, tensors, records and bytes that no stream has saved."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch

from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.model import Backbone, WanModel
from memflow_core.state import StreamState, capture
from memflow_core.stream import Stream

from .case import Case, flipped, shown, strange, write

SMALL = ModelConfig(dim=32, num_heads=2, num_layers=2, ffn_dim=48, text_dim=8, freq_dim=16)
VALUES, RECORDS, TENSORS, BITS, CUTS = 45, 15, 12, 10, 3
MEMORIES = (
    {"retrieval": "prompt", "record_every": 1, "top_k": 3, "pins": (7,)},
    {"retrieval": "attention", "record_every": 1, "cache": "fp8"},
    {"retrieval": "reference", "top_k": 3},
)


def small_backbone() -> Backbone:
    """A model of two layers, with the same weights each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        tree = WanModel(SMALL)
        for name, parameter in tree.named_parameters():
            if "norm" not in name:
                parameter.data = torch.randn(parameter.shape) * (0.3 if parameter.ndim > 1 else 0.1)
    return Backbone(tree.requires_grad_(False))


def saved_streams() -> list[StreamState]:
    """States of short streams, exact and compact: with pins, in fp8, and of the published memory."""
    backbone, found = small_backbone(), []
    for memory in MEMORIES:
        stream = Stream(
            backbone,
            LatentShape(4, 6),
            memory=MemoryConfig(**memory),
            sampling=SamplingConfig(steps=(1000, 500)),
            seed=5,
            frames=100,
        )
        generator = torch.Generator().manual_seed(1)
        for chunk in range(6):
            if chunk % 3 == 0:
                stream.set_prompt(torch.randn(1, 6, SMALL.text_dim, generator=generator))
            if chunk == 4 and memory["retrieval"] != "reference":
                stream.pin(10, "hero")
            next(stream)
        stream.set_prompt(torch.randn(1, 4, SMALL.text_dim, generator=generator), "recache")
        exact = capture(stream)
        found += [exact, exact.compact()]
    return found


def states(folder: Path, random: Random) -> Iterator[Case]:
    """State files in a folder; about 90."""
    base = saved_streams()
    for number, case in enumerate(_changed(base, random)):
        name, state = case
        path = folder / f"changed_{number:03}.safetensors"
        try:
            state.save(path)
        except (UnicodeEncodeError, ValueError):
            # half a character cannot even be written
            continue
        yield Case(name, path)
    yield from _claims(base, folder)
    base[1].save(folder / "whole.safetensors")
    whole = (folder / "whole.safetensors").read_bytes()
    for bit in random.sample(range(8 * len(whole)), BITS):
        yield Case(f"bit {bit} is flipped", write(folder / f"bit_{bit}.safetensors", flipped(whole, bit)))
    for length in random.sample(range(len(whole)), CUTS):
        yield Case(f"cut after {length} bytes", write(folder / f"cut_{length}.safetensors", whole[:length]))
    for claimed in (0, 1, 2**31, 2**63, 2**64 - 1):
        lying = claimed.to_bytes(8, "little") + whole[8:]
        yield Case(f"a header of {claimed} bytes", write(folder / f"header_{claimed}.safetensors", lying))
    deep = json.dumps({"__metadata__": {"format": "memflow-stream-state", "meta": "[" * 200_000}}).encode()
    content = len(deep).to_bytes(8, "little") + deep
    yield Case("JSON without end", write(folder / "deep.safetensors", content))


def _changed(base: list[StreamState], random: Random) -> Iterator[tuple[str, StreamState]]:
    for _ in range(VALUES):
        state = random.choice(base)
        meta = copy.deepcopy(state.meta)
        yield _change_value(meta, random), StreamState(state.tensors, meta)
    for _ in range(RECORDS):
        state = random.choice(base)
        records = state.trace
        name = _change_record(records, random)
        text = torch.tensor(list(json.dumps(records).encode()), dtype=torch.uint8)
        yield name, StreamState({**state.tensors, "trace": text}, state.meta)
    for _ in range(TENSORS):
        state = random.choice(base)
        tensors = dict(state.tensors)
        yield _change_tensor(tensors, random), StreamState(tensors, state.meta)


def _change_value(meta: dict[str, Any], random: Random) -> str:
    """Set or remove a value anywhere in the JSON; returns what was done."""
    place: Any = meta
    path: list[str] = []
    while True:
        key = random.choice(list(place) if isinstance(place, dict) else range(len(place)))
        path.append(str(key))
        inner = place[key]
        if not isinstance(inner, (dict, list)) or not inner or random.random() < 0.3:
            break
        place = inner
    if random.random() < 0.25:
        del place[key]
        return f"without {'.'.join(path)}"
    place[key] = strange(random)
    return f"{'.'.join(path)} is {shown(place[key])}"


def _change_record(records: list[Any], random: Random) -> str:
    number = random.randrange(len(records))
    if random.random() < 0.2:
        records[number] = strange(random)
        return f"record {number} is {shown(records[number])}"
    records[number] = dict(records[number])
    return f"record {number}: {_change_value(records[number], random)}"


def _change_tensor(tensors: dict[str, torch.Tensor], random: Random) -> str:
    name = random.choice(sorted(tensors))
    tensor = tensors[name]
    changes = {
        "is missing": lambda: None,
        "is of another dtype": lambda: tensor.to(torch.int32 if tensor.is_floating_point() else torch.float32),
        "has one dimension less": tensor.flatten,
        "has one more": lambda: tensor[None],
        "is empty": lambda: tensor.flatten()[:0],
        "is cut": lambda: tensor[..., :-1].contiguous() if tensor.ndim else tensor[None],
        "holds no numbers": lambda: (
            torch.full_like(tensor, float("nan") if tensor.is_floating_point() else -1)
            if tensor.dtype != torch.uint8
            else torch.full_like(tensor, 255)
        ),
    }
    what = random.choice(list(changes))
    changed = changes[what]()
    if changed is None:
        del tensors[name]
    else:
        tensors[name] = changed
    return f"{name} {what}"


def _claims(base: list[StreamState], folder: Path) -> Iterator[Case]:
    """Files that claim far more than they hold."""
    claims: dict[str, dict[str, Any]] = {
        "a prompt of 2**20 rows": {"texts": [2**20] + [6] * (len(base[1].meta["texts"]) - 1)},
        "prompts of 2**20 rows each": {"texts": [2**20] * len(base[1].meta["texts"])},
        "a prompt of 2**40 rows": {"texts": [2**40] + [6] * (len(base[1].meta["texts"]) - 1)},
        "10**9 chunks": {"chunk": 10**9, "at": {**base[1].meta["at"], "end": 3 * 10**9}},
        "a batch of 10**9": {"shape": {**base[1].meta["shape"], "batch": 10**9}},
        "a picture of 10**9 rows": {"shape": {**base[1].meta["shape"], "rows": 10**9}},
        "a window of 10**9": {"memory": {**base[1].meta["memory"], "window_frames": 10**9}},
        "a million pins": {"named": [[f"p{n}", 10**6 + n] for n in range(10**5)], "kept": [None] * 10**5},
    }
    for number, (name, changes) in enumerate(claims.items()):
        path = folder / f"claim_{number}.safetensors"
        StreamState(base[1].tensors, {**base[1].meta, **changes}).save(path)
        yield Case(name, path)
    text = torch.zeros(30_000_000, dtype=torch.uint8).fill_(ord("["))
    text[1::3], text[2::3] = ord("]"), ord(",")
    StreamState({**base[1].tensors, "trace": text}, base[1].meta).save(folder / "trace.safetensors")
    yield Case("a trace of ten million lists", folder / "trace.safetensors")
