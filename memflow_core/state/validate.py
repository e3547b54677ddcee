"""Check the tensors and JSON of a state file: files come from strangers, and a run must not fail half-way through.

Each check raises ValueError with what is wrong, as the end of a sentence. A check that later ones build on returns what
it found.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..config import LatentShape, MemoryConfig, SamplingConfig, check_fit, check_switch
from ..memory import UNKNOWN, WRITES, SlotLayout, part_names
from ..stream import SeededNoise
from .format import COMPACT, DECODER, EXACT

MAX_COUNT = 10**9
MAX_TEXTS = 4096
MAX_TEXT_NUMBERS = 2**27  # of one padded embedding; umt5-xxl's has 2 million
FLOATS = (torch.float32, torch.bfloat16, torch.float16)
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
        _check_trace(tensors["trace"])
    unknown = [name for name in tensors if name not in state.known and not name.startswith(DECODER)]
    _need(not unknown, f"nothing is known of {unknown[:1]}")


@contextmanager
def named_problems() -> Iterator[None]:
    """Turn the exceptions of code that trusts a file into a ValueError that says what is wrong with the file."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"it lacks {error.args[0]!r}") from error
    except (TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"a value is of the wrong kind ({error})") from error


def memory_of(meta: dict[str, Any]) -> MemoryConfig:
    """Memory settings of a state."""
    return MemoryConfig(**{**meta["memory"], "pins": tuple(meta["memory"]["pins"])})


def sampling_of(meta: dict[str, Any]) -> SamplingConfig:
    """Sampling settings of a state, which must name all of them: a default of today need not be one of then."""
    if missing := [name for name in asdict(SamplingConfig()) if name not in meta["sampling"]]:
        raise ValueError(f"its sampling settings lack {missing[0]!r}")
    return SamplingConfig(**{**meta["sampling"], "steps": tuple(meta["sampling"]["steps"])})


def _need(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def _whole(value: object, low: int, high: int) -> bool:
    """Whether a value is a whole number from low to high."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


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
        check_fit(memory, sampling)
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
        _need(tuple(tensor.shape) == shape, f"{name!r} has shape {list(tensor.shape)} instead of {list(shape)}")
        _need(tensor.dtype in dtypes, f"{name!r} is {tensor.dtype}")
        self.known.add(name)
        return tensor

    def finite(self, name: str, shape: Shape, dtypes: Dtypes = (torch.float32,)) -> None:
        """The same, which must hold neither NaN nor infinity."""
        _need(bool(torch.isfinite(self.tensor(name, shape, dtypes)).all()), f"{name!r} holds NaN or infinity")

    def check_text_number(self, number: object) -> None:
        _need(_whole(number, 0, len(self.meta["texts"]) - 1), f"prompt {number!r} is not there")


def _check_counters(state: _Checked) -> None:
    meta, sampling = state.meta, state.sampling
    for size in meta["shape"].values():
        _need(_whole(size, 1, MAX_COUNT), f"a size is {size!r}")
    _need(meta["content"] in (COMPACT, EXACT), f"its content is {meta['content']!r}")
    _need(_whole(meta["chunk"], 1, MAX_COUNT), f"it says that {meta['chunk']!r} chunks were made")
    _need(_whole(meta["prompts"], 1, MAX_COUNT), f"it counts {meta['prompts']!r} prompts")
    _need(_whole(meta["prompt"], 0, meta["prompts"] - 1), f"its prompt is number {meta['prompt']!r}")
    _need(isinstance(meta["text_known"], bool), "text_known is neither true nor false")
    _need(meta["positions"] in ("absolute", "relative"), f"its positions are {meta['positions']!r}")
    for number in (sampling.shift, sampling.context_noise):
        _need(isinstance(number, (int, float)) and 0 <= number < MAX_COUNT, f"a sampling setting is {number!r}")
    SeededNoise(meta["seed"])
    at, end = meta["at"], meta["chunk"] * sampling.chunk_frames
    _need(at["end"] == end, f"it says that latent frames end at {at['end']!r}, but its chunks end at {end}")
    _need(_whole(at["origin"], 0, end), f"its shot starts at {at['origin']!r}")
    _need(_whole(at["bank"], 0, state.memory.bank_slots), f"its bank holds {at['bank']!r} frames")


def _check_bank(state: _Checked) -> set[int]:
    """The latent frames in the bank."""
    _need(1 <= state.layers <= 1000, f"it has {state.layers} layers")
    slots, bank, integers = state.memory.bank_slots, state.meta["at"]["bank"], (torch.int64,)
    size = (state.layers, state.shape.batch, slots)
    order = state.tensor("order", size, integers)
    frames = state.tensor("frames", size, integers)
    prompts = state.tensor("prompts", size, integers)
    _need(torch.equal(order.sort(dim=-1).values, torch.arange(slots).expand(size)), "its bank has no proper order")
    filled = slice(slots - bank, slots)
    _need(bool((order[..., :bank] >= filled.start).all()), "its bank lists empty slots")
    within = (frames[..., filled] < state.end) & (prompts[..., filled] >= 0)
    _need(bool((within & (prompts[..., filled] < state.meta["prompts"])).all()), "its bank names unknown frames")
    return set(frames[..., filled].unique().tolist())


def _check_latents(state: _Checked) -> set[int]:
    """The latent frames whose latents the state has."""
    recent = state.tensors["recent"]
    _need(recent.ndim == 5, f"'recent' has shape {list(recent.shape)}")
    channels, frames = recent.shape[1:3]
    whole = frames % state.sampling.chunk_frames == 0 and 0 < frames <= state.end
    _need(channels > 0 and whole, f"'recent' has shape {list(recent.shape)}")
    picture = (state.shape.rows, state.shape.columns)
    state.finite("recent", (state.shape.batch, channels, frames, *picture))
    kept = state.meta["ledger"]["frames"]
    if kept:
        state.finite("ledger.latents", (state.shape.batch, channels, len(kept), *picture))
    return set(kept) | set(range(state.end - frames, state.end))


def _check_texts(state: _Checked) -> None:
    lengths, width = state.meta["texts"], state.tensors["text.0"].shape[-1]
    _need(isinstance(lengths, list) and 0 < len(lengths) <= MAX_TEXTS, "it has no list of prompts")
    for number, length in enumerate(lengths):
        text = state.tensors[f"text.{number}"]
        _need(text.ndim == 3 and text.shape[1] > 0 and width > 0, f"text.{number} has shape {list(text.shape)}")
        fits = _whole(length, text.shape[1], MAX_TEXT_NUMBERS // (width * state.shape.batch))
        _need(fits, f"prompt {number} is {length!r} long")
        state.finite(f"text.{number}", (state.shape.batch, text.shape[1], width), (*FLOATS, torch.float64))
    state.check_text_number(state.meta["text"])
    if not state.published:
        state.finite("pooled", (state.meta["prompts"], state.shape.batch, width))


def _check_candidates(state: _Checked) -> set[int]:
    """The latent frames of candidates whose keys and values the state has."""
    waiting = set()
    for frame, prompt, stored in state.meta["offers"]:
        _need(_whole(frame, -MAX_COUNT, state.end - 1), f"frame {frame!r} waits for the bank")
        _need(_whole(prompt, 0, state.meta["prompts"] - 1), f"a frame was made under prompt {prompt!r}")
        _need(isinstance(stored, bool), "a frame that waits for the bank is described wrongly")
        # what is read alone needs its write, too
        waiting |= {frame} if stored or state.memory.bank_keys == "alone" else set()
    if state.published:
        promised = state.meta["promised"]
        _need(_whole(promised, 0, MAX_COUNT), f"{promised!r} frames are promised a slot")
        _need(len(state.meta["offers"]) <= 1, "several frames are the newest")
    return waiting


@dataclass(frozen=True)
class _CheckedPins:
    """Pinned frames, named frames, and those of them whose keys and values the state has."""

    frames: frozenset[int] = frozenset()
    named: dict[str, int] = field(default_factory=dict)
    kept: frozenset[int] = frozenset()

    def check_recall(self, names: object, state: _Checked) -> None:
        if not isinstance(names, list):
            raise ValueError(f"a prompt asks for {names!r}, which are no pins")
        proper = all(self.named.get(name, state.end) < state.end for name in names)
        _need(proper, f"a prompt asks for {names!r}, which are no pins")
        needed = self.frames | {self.named[name] for name in names}
        fits = len(needed) <= state.memory.bank_slots or not names
        _need(fits, "a prompt asks for more pins than the bank can hold")


def _check_pins(state: _Checked) -> _CheckedPins:
    if state.published:
        return _CheckedPins()
    meta, frames = state.meta, state.meta["pins"]
    proper = isinstance(frames, list) and all(_whole(frame, -MAX_COUNT, MAX_COUNT) for frame in frames)
    _need(proper and len(frames) <= state.memory.bank_slots, "its pins are no list of frames that fits the bank")
    _need(len(meta["kept"]) == len(meta["named"]), "its named pins are described wrongly")
    named: dict[str, int] = {}
    for (name, frame), kept in zip(meta["named"], meta["kept"], strict=True):
        _need(isinstance(name, str) and name != "" and name not in named, f"a pin's name is {name!r}")
        _check_named_pin(state, name, frame, kept)
        named[name] = frame
    stored = frozenset(kept[0] for kept in meta["kept"] if kept)
    pins = _CheckedPins(frozenset(frames), named, stored)
    pins.check_recall(meta["recalled"], state)
    return pins


def _check_named_pin(state: _Checked, name: str, frame: Any, kept: Any) -> None:
    _need(_whole(frame, -MAX_COUNT, MAX_COUNT), f"pin {name!r} is of frame {frame!r}")
    _need((kept is None) == (frame >= state.end), f"of pin {name!r} there is too much or too little")
    if kept is not None:
        _need(kept[0] == frame and kept[2] is True and len(kept) == 3, f"pin {name!r} is described wrongly")
        _need(_whole(kept[1], 0, state.meta["prompts"] - 1), f"pin {name!r} was made under prompt {kept[1]!r}")


def _check_changes(state: _Checked, pins: _CheckedPins) -> None:
    """The prompt that waits, and the blend to the current one."""
    if "next" in state.meta:
        change = state.meta["next"]
        strange = change.keys() ^ {"text", "switch", "noise", "blend_chunks", "blend_path", "recall"}
        _need(not strange, f"of the prompt that waits, {sorted(strange)} is missing or unknown")
        state.check_text_number(change["text"])
        check_switch(change["switch"], change["blend_chunks"], change["blend_path"])
        if change["noise"] is not None:
            SeededNoise(change["noise"])
        pins.check_recall(change["recall"], state)
    if "blend" in state.meta:
        blend = state.meta["blend"]
        _need(blend.keys() == {"before", "chunks", "path", "done"}, "its blend is described wrongly")
        state.check_text_number(blend["before"])
        check_switch("blend", blend["chunks"], blend["path"])
        _need(_whole(blend["done"], 1, blend["chunks"] - 1), f"its blend is at {blend['done']!r} chunks")


def _check_archive(state: _Checked) -> set[int]:
    """The latent frames in the archive."""
    if state.memory.archive == "off":
        return set()
    meta, batch = state.meta, state.shape.batch
    frames = [frame for frame, _ in meta["archive"]]
    for frame, prompt in meta["archive"]:
        _need(_whole(frame, 0, state.end - 1), f"frame {frame!r} is in its archive")
        _need(_whole(prompt, 0, meta["prompts"] - 1), f"a frame was made under prompt {prompt!r}")
    _need(len(set(frames)) == len(frames), "a frame stands twice in its archive")
    _need(set(meta["banned"]) <= set(frames), "it bans frames that are not in its archive")
    _need(isinstance(meta["choice_due"], bool), "choice_due is neither true nor false")
    chosen = meta["chosen"]
    _need(isinstance(chosen, list) and len(chosen) == batch, "what was chosen from its archive is described wrongly")
    _need(len({len(row) for row in chosen}) == 1, "what was chosen from its archive is described wrongly")
    _need(len(chosen[0]) <= state.memory.bank_slots, "more was chosen from its archive than the bank can hold")
    _need({frame for row in chosen for frame in row} <= set(frames), "it chose frames that are not in its archive")
    if frames:
        heads, width = state.tensors["archive.keys"].shape[-2:]
        state.finite("archive.keys", (len(frames), state.layers, batch, heads, width))
    return set(frames)


def _check_provenance(state: _Checked, held: set[int], latents: set[int]) -> None:
    """held: frames outside sink and window that need a write; latents: frames whose latents the state has."""
    ledger = state.meta["ledger"]
    _need(all(_whole(frame, -MAX_COUNT, state.end - 1) for frame in ledger["frames"]), "its ledger is out of range")
    most = state.longest + len(held)
    _need(len(ledger["writes"]) <= most, f"its ledger has more than {most} writes")
    for write in ledger["writes"]:
        _check_write(state, write, latents)
    for frame, number in ledger["sources"]:
        _need(_whole(number, 0, len(ledger["writes"]) - 1), f"frame {frame!r} has no write")
        write = ledger["writes"][number]
        start, stop = write["start"] + write["unwritten"], write["start"] + write["frames"]
        _need(_whole(frame, start, stop - 1), f"frame {frame!r} is not where its keys were written")
    _need(held <= {frame for frame, _ in ledger["sources"]}, "it holds frames that nothing is known of")


def _check_write(state: _Checked, write: dict[str, Any], latents: set[int]) -> None:
    start, frames, timestep = write["start"], write["frames"], write["timestep"]
    _need(write["kind"] in WRITES, f"a write is of kind {write['kind']!r}")
    picture, unknown = (write["kind"] == kind for kind in ("picture", UNKNOWN))
    single = picture or unknown or write["kind"] == "alone"
    _need(not unknown or state.meta["content"] == EXACT, "it has to make keys again that nothing is known of")
    in_range = _whole(start, -MAX_COUNT, -2) if picture else _whole(start, 0, state.end)
    _need(in_range and _whole(frames, 1, 1 if single else state.longest), "a write is out of range")
    _need(picture or start + frames <= state.end, "a write is out of range")
    _need(_whole(write["unwritten"], 0, frames - 1), "a write leaves nothing")
    state.check_text_number(write["text"])
    _need(isinstance(timestep, (int, float)) and 0 <= timestep < 1000, f"a write is at timestep {timestep!r}")
    taking_part = set(range(start, start + frames))
    _need(unknown or taking_part <= latents, "a write has no latents")
    _need(isinstance(write["standing"], list), "a write stands nowhere")
    _need(set(write["standing"]) <= taking_part, "a write stands where it never was")


def _check_keys(state: _Checked) -> None:
    if state.meta["content"] == COMPACT:
        return
    k, in_fp8, at = state.tensors["k"], state.memory.cache == "fp8", state.meta["at"]
    stored = (torch.uint8,) if in_fp8 else FLOATS
    _need(k.ndim == 6 and k.dtype in stored, f"'k' has shape {list(k.shape)} and is {k.dtype}")
    _need(state.meta.get("dtype", "float32") in DTYPES, f"it was made in {state.meta.get('dtype')!r}")
    sizes = (state.memory.sink_frames, state.memory.window_frames, state.memory.bank_slots)
    layout = SlotLayout(*sizes, origin=at["origin"], end=at["end"], bank=at["bank"])
    slots = layout.in_use.stop - layout.in_use.start
    lead, tokens, width = (state.layers, state.shape.batch, k.shape[2]), state.shape.tokens, k.shape[-1]
    shapes = {"k": (tokens, width), "v": (tokens, width), "mean_k": (width,), "scale_k": (), "scale_v": ()}
    parts = {name: (shapes[name], (k.dtype if name in "kv" else torch.float32,)) for name in part_names(in_fp8)}
    for name, (shape, dtypes) in parts.items():
        state.tensor(name, (*lead, slots, *shape), dtypes)
    outside = [f"offer.{number}" for number, (_, _, stored) in enumerate(state.meta["offers"]) if stored]
    if not state.published:
        outside += [f"kept.{number}" for number, kept in enumerate(state.meta["kept"]) if kept is not None]
    for prefix in outside:
        for name, (shape, dtypes) in parts.items():
            state.tensor(f"{prefix}.{name}", (*lead, *shape), dtypes)


def _check_trace(trace: Tensor) -> None:
    _need(trace.dtype == torch.uint8 and trace.ndim == 1, "its trace is no text")
    try:
        records = json.loads(bytes(trace.numpy()))
    except (ValueError, RecursionError) as error:
        raise ValueError("its trace is no JSON") from error
    kinds = isinstance(records, list) and all(isinstance(record, dict) and "event" in record for record in records)
    _need(kinds, "its trace is no list of records")
