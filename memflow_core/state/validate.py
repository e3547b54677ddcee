"""Check the tensors and JSON of a state file: files come from strangers, and a run must not fail half-way through.

Each check raises ValueError with what is wrong, as the end of a sentence. A check that later ones build on returns what
it found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..config import (
    MAX_ABSOLUTE_FRAMES,
    RULES_BY_KEYS,
    LatentShape,
    MemoryConfig,
    SamplingConfig,
    check_fit,
    check_switch,
)
from ..memory import UNKNOWN, WRITES, SlotLayout, part_names
from ..stream import SeededNoise
from .archived import check_archive, check_made
from .controlled import check_control
from .format import COMPACT, DECODER, EXACT
from .records import TraceBounds, check_trace
from .settings import MAX_COUNT, memory_of, sampling_of
from .values import FLOATS, check_finite, is_number, is_whole, lists_of, named_problems, need

MAX_TEXTS = 4096
# Zeros behind the embeddings' own rows, which the file leaves out: as many numbers as 32 of umt5-xxl's have in all, and
# beyond them so many times the numbers that the file holds (an encoder pads to 512 rows, a prompt of 8 words has 10)
FREE_PADDING, MOST_PADDING, MOST_PADDED_ROWS = 2**26, 64, 1024
MAX_NAME = 200
MOST_JUMPS = 4096
DTYPES = tuple(str(dtype).removeprefix("torch.") for dtype in FLOATS)

Shape = tuple[int, ...]
Dtypes = tuple[torch.dtype, ...]


def check_state(tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Raise ValueError unless a stream can go on from this."""
    with named_problems():
        state = _Checked.of(tensors, meta)
        _check_counters(state)
        banked = _check_bank(state)
        latents = _check_latents(state)
        _check_texts(state)
        waiting = _check_candidates(state)
        pins = _check_pins(state)
        _check_changes(state, pins)
        archived = _check_archive(state)
        _check_provenance(state, held=banked | waiting | pins.kept | archived, latents=latents)
        _check_keys(state)
        state.known |= check_control(tensors, state.shape)
        _check_trace(state)
    unknown = [name for name in tensors if name not in state.known and not name.startswith(DECODER)]
    need(not unknown, f"nothing is known of {unknown[:1]}")


@dataclass
class _Checked:
    """A state under check; `known` are the tensors that some check has looked at."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any]
    shape: LatentShape
    memory: MemoryConfig
    sampling: SamplingConfig
    known: set[str] = field(default_factory=lambda: {"trace"})

    @staticmethod
    def of(tensors: dict[str, Tensor], meta: dict[str, Any]) -> _Checked:
        shape, memory, sampling = LatentShape(**meta["shape"]), memory_of(meta), sampling_of(meta)
        check_fit(memory, sampling, layers=tensors["frames"].shape[0])
        return _Checked(tensors, meta, shape, memory, sampling)

    @property
    def published(self) -> bool:
        return self.memory.retrieval == "reference"

    @property
    def layers(self) -> int:
        return self.tensors["frames"].shape[0]

    @property
    def end(self) -> int:
        """One past the newest latent frame."""
        return self.meta["at"]["end"]

    @property
    def longest(self) -> int:
        """Most latent frames that sink and window can hold, in whole chunks."""
        return self.memory.sink_frames + self.memory.window_frames + self.sampling.chunk_frames

    def tensor(self, name: str, shape: Shape, dtypes: Dtypes = (torch.float32,)) -> Tensor:
        """A tensor, which must have that shape and one of those dtypes."""
        tensor = self.tensors[name]
        need(tuple(tensor.shape) == shape, f"{name!r} has shape {list(tensor.shape)} instead of {list(shape)}")
        need(tensor.dtype in dtypes, f"{name!r} is {tensor.dtype}")
        self.known.add(name)
        return tensor

    def finite(self, name: str, shape: Shape, dtypes: Dtypes = (torch.float32,)) -> None:
        """The same, which must hold neither NaN nor infinity."""
        need(bool(torch.isfinite(self.tensor(name, shape, dtypes)).all()), f"{name!r} holds NaN or infinity")

    def check_text_number(self, number: object) -> None:
        need(is_whole(number, 0, len(self.meta["texts"]) - 1), f"prompt {number!r} is not there")


def _check_counters(state: _Checked) -> None:
    meta, sampling = state.meta, state.sampling
    for size in meta["shape"].values():
        need(is_whole(size, 1, MAX_COUNT), f"a size is {size!r}")
    need(meta["content"] in (COMPACT, EXACT), f"its content is {meta['content']!r}")
    need(is_whole(meta["chunk"], 1, MAX_COUNT), f"it says that {meta['chunk']!r} chunks were made")
    need(is_whole(meta["prompts"], 1, MAX_COUNT), f"it counts {meta['prompts']!r} prompts")
    need(is_whole(meta["prompt"], 0, meta["prompts"] - 1), f"its prompt is number {meta['prompt']!r}")
    need(isinstance(meta["text_known"], bool), "text_known is neither true nor false")
    need(meta["positions"] in ("absolute", "relative"), f"its positions are {meta['positions']!r}")
    SeededNoise(meta["seed"])
    at, end = meta["at"], meta["chunk"] * sampling.chunk_frames
    need(isinstance(at, dict) and at.keys() == {"origin", "end", "bank"}, "its place is described wrongly")
    began = meta.get("began", 0)
    whole = is_whole(began, 0, end - 1) and began % sampling.chunk_frames == 0
    need(whole, f"it says that its story began at {began!r}")
    reached = end - began
    need(
        meta["positions"] == "relative" or reached <= MAX_ABSOLUTE_FRAMES,
        "its positions are absolute, but it is too long",
    )
    averaged = state.memory.sink == "average"
    need(
        meta["positions"] == "relative" or not (averaged or sampling.refresh),
        "its positions are absolute, but keys that are averaged or refreshed have relative ones",
    )
    need(not averaged or meta["content"] == EXACT, "its sink is an average, which cannot be made again")
    need(is_whole(at["end"], end, end), f"it says that latent frames end at {at['end']!r}, but its chunks end at {end}")
    need(is_whole(at["origin"], began, end), f"its shot starts at {at['origin']!r}")
    need(is_whole(at["bank"], 0, state.memory.bank_slots), f"its bank holds {at['bank']!r} frames")
    jumps = meta.get("jumps", [])
    proper = isinstance(jumps, list) and all(is_whole(jump, began + 1, end) for jump in jumps)
    need(proper and sorted(set(jumps)) == jumps and len(jumps) <= MOST_JUMPS, "its jumps are no rising latent frames")


def _check_bank(state: _Checked) -> set[int]:
    """The latent frames in the bank."""
    need(1 <= state.layers <= 1000, f"it has {state.layers} layers")
    slots, bank, integers = state.memory.bank_slots, state.meta["at"]["bank"], (torch.int64,)
    size = (state.layers, state.shape.batch, slots)
    order = state.tensor("order", size, integers)
    frames = state.tensor("frames", size, integers)
    prompts = state.tensor("prompts", size, integers)
    need(torch.equal(order.sort(dim=-1).values, torch.arange(slots).expand(size)), "its bank has no proper order")
    filled = slice(slots - bank, slots)
    need(bool((order[..., :bank] >= filled.start).all()), "its bank lists empty slots")
    within = (frames[..., filled] < state.end) & (prompts[..., filled] >= 0)
    need(bool((within & (prompts[..., filled] < state.meta["prompts"])).all()), "its bank names unknown frames")
    return set(frames[..., filled].unique().tolist())


def _check_latents(state: _Checked) -> set[int]:
    """The latent frames whose latents the state has."""
    recent = state.tensors["recent"]
    need(recent.ndim == 5, f"'recent' has shape {list(recent.shape)}")
    channels, frames = recent.shape[1:3]
    whole = frames % state.sampling.chunk_frames == 0 and 0 < frames <= state.end
    need(channels > 0 and whole, f"'recent' has shape {list(recent.shape)}")
    picture = (state.shape.rows, state.shape.columns)
    state.finite("recent", (state.shape.batch, channels, frames, *picture))
    kept = state.meta["ledger"]["frames"]
    proper = isinstance(kept, list) and all(is_whole(frame, -MAX_COUNT, state.end - 1) for frame in kept)
    need(proper and len(set(kept)) == len(kept), "its ledger is out of range")
    if kept:
        state.finite("ledger.latents", (state.shape.batch, channels, len(kept), *picture))
    return set(kept) | set(range(state.end - frames, state.end))


def _check_texts(state: _Checked) -> None:
    lengths, width = state.meta["texts"], state.tensors["text.0"].shape[-1]
    need(isinstance(lengths, list) and 0 < len(lengths) <= MAX_TEXTS, "it has no list of prompts")
    held = padded = 0
    for number, length in enumerate(lengths):
        text = state.tensors[f"text.{number}"]
        need(text.ndim == 3 and text.shape[1] > 0 and width > 0, f"text.{number} has shape {list(text.shape)}")
        rows = text.shape[1]
        need(is_whole(length, rows, rows + MOST_PADDED_ROWS), f"prompt {number} is {length!r} long")
        held += text.numel()
        padded += (length - rows) * width * state.shape.batch
        need(padded <= FREE_PADDING + MOST_PADDING * held, f"prompt {number} is {length} long, which is too much")
        state.finite(f"text.{number}", (state.shape.batch, rows, width), (*FLOATS, torch.float64))
    state.check_text_number(state.meta["text"])
    if not state.published:
        state.finite("pooled", (state.meta["prompts"], state.shape.batch, width))


def _check_candidates(state: _Checked) -> set[int]:
    """The latent frames of candidates whose keys and values the state has."""
    waiting, seen = set(), set()
    for frame, prompt, stored in lists_of(
        state.meta["offers"], 3, "frames that wait for the bank are described wrongly"
    ):
        need(is_whole(frame, -MAX_COUNT, state.end - 1), f"frame {frame!r} waits for the bank")
        need(is_whole(prompt, 0, state.meta["prompts"] - 1), f"a frame was made under prompt {prompt!r}")
        need(isinstance(stored, bool), "a frame that waits for the bank is described wrongly")
        need(frame not in seen, f"frame {frame!r} waits for the bank twice")
        seen.add(frame)
        # what is read alone needs its write, too
        waiting |= {frame} if stored or state.memory.bank_keys == "alone" else set()
    if state.published:
        promised, bank, offers = state.meta["promised"], state.meta["at"]["bank"], len(state.meta["offers"])
        need(is_whole(promised, offers, state.meta["chunk"]), f"{promised!r} frames are promised a slot")
        need(min(promised - 1, state.memory.bank_slots) <= bank, f"{promised!r} frames are promised a slot")
        need(offers <= 1, "several frames are the newest")
    return waiting


@dataclass(frozen=True)
class _CheckedPins:
    """Pinned frames, named frames, and those of them whose keys and values the state has."""

    frames: frozenset[int] = frozenset()
    named: dict[str, int] = field(default_factory=dict)
    kept: frozenset[int] = frozenset()

    def check_recall(self, names: object, state: _Checked) -> None:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"a prompt asks for {names!r}, which are no pins")
        proper = all(self.named.get(name, state.end) < state.end for name in names)
        need(proper, f"a prompt asks for {names!r}, which are no pins")
        needed = self.frames | {self.named[name] for name in names}
        fits = len(needed) <= state.memory.bank_slots or not names
        need(fits, "a prompt asks for more pins than the bank can hold")


def _check_pins(state: _Checked) -> _CheckedPins:
    if state.published:
        return _CheckedPins()
    meta, frames = state.meta, state.meta["pins"]
    proper = isinstance(frames, list) and all(is_whole(frame, -MAX_COUNT, MAX_COUNT) for frame in frames)
    need(proper and len(frames) <= state.memory.bank_slots, "its pins are no list of frames that fits the bank")
    wrong = "its named pins are described wrongly"
    pairs = lists_of(meta["named"], 2, wrong)
    need(isinstance(meta["kept"], list) and len(meta["kept"]) == len(pairs), wrong)
    named: dict[str, int] = {}
    for (name, frame), kept in zip(pairs, meta["kept"], strict=True):
        proper = isinstance(name, str) and name.isprintable() and 0 < len(name) <= MAX_NAME
        need(proper and name not in named, f"a pin's name is {name!r}")
        _check_named_pin(state, name, frame, kept)
        named[name] = frame
    stored = frozenset(kept[0] for kept in meta["kept"] if kept)
    pins = _CheckedPins(frozenset(frames), named, stored)
    pins.check_recall(meta["recalled"], state)
    return pins


def _check_named_pin(state: _Checked, name: str, frame: Any, kept: Any) -> None:
    need(is_whole(frame, -MAX_COUNT, MAX_COUNT), f"pin {name!r} is of frame {frame!r}")
    need((kept is None) == (frame >= state.end), f"of pin {name!r} there is too much or too little")
    if kept is not None:
        proper = isinstance(kept, list) and len(kept) == 3 and is_whole(kept[0], frame, frame) and kept[2] is True
        need(proper, f"pin {name!r} is described wrongly")
        need(is_whole(kept[1], 0, state.meta["prompts"] - 1), f"pin {name!r} was made under prompt {kept[1]!r}")


def _check_changes(state: _Checked, pins: _CheckedPins) -> None:
    """The prompt that waits, and the blend to the current one."""
    if "next" in state.meta:
        change = state.meta["next"]
        strange = (change.keys() - {"weights"}) ^ {"text", "switch", "noise", "blend_chunks", "blend_path", "recall"}
        need(not strange, f"of the prompt that waits, {sorted(strange)} is missing or unknown")
        state.check_text_number(change["text"])
        check_switch(change["switch"], change["blend_chunks"], change["blend_path"])
        if change["noise"] is not None:
            SeededNoise(change["noise"])
        forgotten = change["switch"] == "fresh" and change["recall"]
        need(not forgotten, "the prompt that waits forgets all pins, and asks for some")
        pins.check_recall(change["recall"], state)
        _check_weights(change)
    _check_weights(state.meta)
    if "blend" in state.meta:
        blend = state.meta["blend"]
        need(blend.keys() == {"before", "chunks", "path", "done"}, "its blend is described wrongly")
        state.check_text_number(blend["before"])
        check_switch("blend", blend["chunks"], blend["path"])
        need(is_whole(blend["done"], 1, blend["chunks"] - 1), f"its blend is at {blend['done']!r} chunks")


def _check_weights(entry: dict[str, Any]) -> None:
    """The name of the weights that an entry was made with, where it has one."""
    weights = entry.get("weights", "")
    need(isinstance(weights, str) and len(weights) <= MAX_NAME, f"its weights are called {str(weights)[:40]!r}")


def _check_archive(state: _Checked) -> set[int]:
    """The latent frames in the archive."""
    if state.memory.archive == "off":
        return set()
    batch = state.shape.batch
    frames = check_archive(state.meta, end=state.end, batch=batch, places=state.memory.bank_slots)
    if frames and state.memory.archive_rule in RULES_BY_KEYS:
        heads, width = state.tensors["archive.keys"].shape[-2:]
        state.finite("archive.keys", (len(frames), state.layers, batch, heads, width))
    if state.memory.archive == "keys":
        made = check_made(state.meta, frames)
        need(not made or state.meta["content"] == EXACT, "it is compact, but has keys")
    return set(frames)


def _check_provenance(state: _Checked, held: set[int], latents: set[int]) -> None:
    """held: frames outside sink and window that need a write; latents: frames whose latents the state has."""
    ledger = state.meta["ledger"]
    most = state.longest + len(held)
    need(len(ledger["writes"]) <= most, f"its ledger has more than {most} writes")
    for write in ledger["writes"]:
        _check_write(state, write, latents)
    _check_standing(state)
    for frame, number in lists_of(ledger["sources"], 2, "its ledger is described wrongly"):
        need(is_whole(number, 0, len(ledger["writes"]) - 1), f"frame {frame!r} has no write")
        write = ledger["writes"][number]
        start, stop = write["start"] + write["unwritten"], write["start"] + write["frames"]
        need(is_whole(frame, start, stop - 1), f"frame {frame!r} is not where its keys were written")
    need(held <= {frame for frame, _ in ledger["sources"]}, "it holds frames that nothing is known of")


def _check_write(state: _Checked, write: dict[str, Any], latents: set[int]) -> None:
    start, frames, timestep = write["start"], write["frames"], write["timestep"]
    need(write["kind"] in WRITES, f"a write is of kind {write['kind']!r}")
    picture, unknown = (write["kind"] == kind for kind in ("picture", UNKNOWN))
    single = picture or unknown or write["kind"] == "alone"
    need(not unknown or state.meta["content"] == EXACT, "it has to make keys again that nothing is known of")
    in_range = is_whole(start, -MAX_COUNT, -2) if picture else is_whole(start, 0, state.end)
    need(in_range and is_whole(frames, 1, 1 if single else state.longest), "a write is out of range")
    need(picture or start + frames <= state.end, "a write is out of range")
    need(is_whole(write["unwritten"], 0, frames - 1), "a write leaves nothing")
    state.check_text_number(write["text"])
    need(is_number(timestep, 0, math.nextafter(1000, 0)), f"a write is at timestep {timestep!r}")
    taking_part = set(range(start, start + frames))
    need(unknown or taking_part <= latents, "a write has no latents")
    _check_weights(write)
    need(isinstance(write["standing"], list), "a write stands nowhere")
    need(set(write["standing"]) <= taking_part, "a write stands where it never was")


def _check_standing(state: _Checked) -> None:
    """Sink and window hold the frames that the writes left there; a compact state makes them again of nothing else."""
    at, memory = state.meta["at"], state.memory
    layout = SlotLayout(
        memory.sink_frames, memory.window_frames, memory.bank_slots, at["origin"], at["end"], at["bank"]
    )
    left = [frame for write in state.meta["ledger"]["writes"] for frame in write["standing"]]
    need(len(set(left)) == len(left) and set(left) <= layout.standing, "a write stands where it never was")
    # the published memory may throw the keys of sink and window away at a prompt change
    forgets = state.published and not memory.global_sink
    complete = state.meta["content"] == EXACT or forgets or set(left) == layout.standing
    need(complete, "it has to make keys again that nothing is known of")


def _check_keys(state: _Checked) -> None:
    if state.meta["content"] == COMPACT:
        return
    k, in_fp8, at = state.tensors["k"], state.memory.cache == "fp8", state.meta["at"]
    stored = (torch.uint8,) if in_fp8 else FLOATS
    need(k.ndim == 6 and k.dtype in stored, f"'k' has shape {list(k.shape)} and is {k.dtype}")
    need(state.meta.get("dtype", "float32") in DTYPES, f"it was made in {state.meta.get('dtype')!r}")
    sizes = (state.memory.sink_frames, state.memory.window_frames, state.memory.bank_slots)
    layout = SlotLayout(*sizes, origin=at["origin"], end=at["end"], bank=at["bank"])
    slots = layout.in_use.stop - layout.in_use.start
    lead, tokens, width = (state.layers, state.shape.batch, k.shape[2]), state.shape.tokens, k.shape[-1]
    shapes = {"k": (tokens, width), "v": (tokens, width), "mean_k": (width,), "scale_k": (), "scale_v": ()}
    parts = {name: (shapes[name], (k.dtype if name in "kv" else torch.float32,)) for name in part_names(in_fp8)}
    for name, (shape, dtypes) in parts.items():
        check_finite(name, state.tensor(name, (*lead, slots, *shape), dtypes), bits=in_fp8 and name in "kv")
    outside = [f"offer.{number}" for number, (_, _, stored) in enumerate(state.meta["offers"]) if stored]
    if not state.published:
        outside += [f"kept.{number}" for number, kept in enumerate(state.meta["kept"]) if kept is not None]
    if state.memory.archive == "keys":
        outside += [f"archived.{number}" for number in range(len(state.meta["archived_keys"]))]
    for prefix in outside:
        for name, (shape, dtypes) in parts.items():
            check_finite(
                f"{prefix}.{name}",
                state.tensor(f"{prefix}.{name}", (*lead, *shape), dtypes),
                bits=in_fp8 and name in "kv",
            )


def _check_trace(state: _Checked) -> None:
    trace, batch = state.tensors["trace"], state.shape.batch
    need(trace.dtype == torch.uint8 and trace.ndim == 1, "its trace is no text")
    slots = state.memory.bank_slots
    check_trace(bytes(trace.numpy()), TraceBounds(state.meta["chunk"], state.layers, batch, slots))
