"""Whether what a file says is a stream's state: files come from strangers, and nothing may fail half-way through a run.

Each check raises ValueError with what is wrong, as the end of a sentence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..config import LatentShape, MemoryConfig, SamplingConfig, check_fit, check_switch
from ..memory import UNKNOWN, WRITES, part_names
from ..stream import SeededNoise
from .format import COMPACT, EXACT

MAX_COUNT = 10**9
MAX_TEXTS = 4096
MAX_TEXT_NUMBERS = 2**27  # of one padded embedding; umt5-xxl's has 2 million
FLOATS = (torch.float32, torch.bfloat16, torch.float16)
DTYPES = tuple(str(dtype).removeprefix("torch.") for dtype in FLOATS)
DECODER = "decoder."  # tensors of a video decoder that went along with the stream; whoever uses them checks them


def check_state(tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Raise ValueError unless a stream can go on from this."""
    with named_problems():
        shape, memory = LatentShape(**meta["shape"]), memory_of(meta)
        sampling = SamplingConfig(**{**meta["sampling"], "steps": tuple(meta["sampling"]["steps"])})
        check_fit(memory, sampling)
        _check_counters(meta, memory, sampling)
        sizes = _Sizes(tensors, meta, shape, memory, sampling)
        sizes.check_bank()
        sizes.check_latents()
        sizes.check_texts()
        sizes.check_offers()
        sizes.check_pins()
        sizes.check_changes()
        sizes.check_ledger()
        sizes.check_keys()
        _check_trace(tensors["trace"])
    sizes.check_nothing_else()


@contextmanager
def named_problems() -> Iterator[None]:
    """What a file from a stranger may do to code that takes it at its word, as a ValueError that says what is wrong."""
    try:
        yield
    except KeyError as error:
        raise ValueError(f"it lacks {error.args[0]!r}") from error
    except (TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"a value is of the wrong kind ({error})") from error


def memory_of(meta: dict[str, Any]) -> MemoryConfig:
    return MemoryConfig(**{**meta["memory"], "pins": tuple(meta["memory"]["pins"])})


def _need(condition: bool, problem: str) -> None:
    if not condition:
        raise ValueError(problem)


def _whole(value: object, low: int, high: int) -> bool:
    """Whether a value is a whole number from low to high."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _check_counters(meta: dict[str, Any], memory: MemoryConfig, sampling: SamplingConfig) -> None:
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
    _need(_whole(at["bank"], 0, memory.bank_slots), f"its bank holds {at['bank']!r} frames")


def _check_trace(trace: Tensor) -> None:
    _need(trace.dtype == torch.uint8 and trace.ndim == 1, "its trace is no text")
    try:
        records = json.loads(bytes(trace.numpy()))
    except (ValueError, RecursionError) as error:
        raise ValueError("its trace is no JSON") from error
    kinds = isinstance(records, list) and all(isinstance(record, dict) and "event" in record for record in records)
    _need(kinds, "its trace is no list of records")


class _Sizes:
    """Checks of a state's tensors against each other."""

    def __init__(
        self,
        tensors: dict[str, Tensor],
        meta: dict[str, Any],
        shape: LatentShape,
        memory: MemoryConfig,
        sampling: SamplingConfig,
    ):
        self.tensors, self.meta, self.shape, self.memory, self.sampling = tensors, meta, shape, memory, sampling
        self.layers = tensors["frames"].shape[0]
        self.bank, self.end = meta["at"]["bank"], meta["at"]["end"]
        self.known = {"trace"}

    @property
    def _longest(self) -> int:
        """Most latent frames that sink and window can hold, in whole chunks."""
        return self.memory.sink_frames + self.memory.window_frames + self.sampling.chunk_frames

    def tensor(self, name: str, shape: tuple[int, ...], dtypes: tuple[torch.dtype, ...] = (torch.float32,)) -> Tensor:
        """A tensor of that shape and one of those kinds."""
        tensor = self.tensors[name]
        _need(tuple(tensor.shape) == shape, f"{name!r} has shape {list(tensor.shape)} instead of {list(shape)}")
        _need(tensor.dtype in dtypes, f"{name!r} is {tensor.dtype}")
        self.known.add(name)
        return tensor

    def finite(self, name: str, shape: tuple[int, ...], dtypes: tuple[torch.dtype, ...] = (torch.float32,)) -> None:
        _need(bool(torch.isfinite(self.tensor(name, shape, dtypes)).all()), f"{name!r} holds NaN or infinity")

    def check_bank(self) -> None:
        _need(1 <= self.layers <= 1000, f"it has {self.layers} layers")
        size, integers = (self.layers, self.shape.batch, self.memory.bank_slots), (torch.int64,)
        order, frames = self.tensor("order", size, integers), self.tensor("frames", size, integers)
        prompts = self.tensor("prompts", size, integers)
        _need(
            torch.equal(order.sort(dim=-1).values, torch.arange(size[-1]).expand(size)), "its bank has no proper order"
        )
        filled = slice(size[-1] - self.bank, size[-1])
        listed = order[..., : self.bank]
        _need(bool((listed >= filled.start).all()), "its bank lists empty slots")
        within = (frames[..., filled] < self.end) & (prompts[..., filled] >= 0)
        _need(bool((within & (prompts[..., filled] < self.meta["prompts"])).all()), "its bank names unknown frames")
        self.banked = set(frames[..., filled].unique().tolist())

    def check_latents(self) -> None:
        recent = self.tensors["recent"]
        _need(recent.ndim == 5, f"'recent' has shape {list(recent.shape)}")
        channels, frames = recent.shape[1:3]
        whole = frames % self.sampling.chunk_frames == 0 and 0 < frames <= self.end
        _need(channels > 0 and whole, f"'recent' has shape {list(recent.shape)}")
        self.picture = (self.shape.rows, self.shape.columns)
        self.finite("recent", (self.shape.batch, channels, frames, *self.picture))
        kept = self.meta["ledger"]["frames"]
        if kept:
            self.finite("ledger.latents", (self.shape.batch, channels, len(kept), *self.picture))
        self.latents = set(kept) | set(range(self.end - frames, self.end))

    def check_texts(self) -> None:
        lengths, width = self.meta["texts"], self.tensors["text.0"].shape[-1]
        _need(isinstance(lengths, list) and 0 < len(lengths) <= MAX_TEXTS, "it has no list of prompts")
        for number, length in enumerate(lengths):
            text = self.tensors[f"text.{number}"]
            _need(text.ndim == 3 and text.shape[1] > 0 and width > 0, f"text.{number} has shape {list(text.shape)}")
            fits = _whole(length, text.shape[1], MAX_TEXT_NUMBERS // (width * self.shape.batch))
            _need(fits, f"prompt {number} is {length!r} long")
            self.finite(f"text.{number}", (self.shape.batch, text.shape[1], width), (*FLOATS, torch.float64))
        self._check_text_number(self.meta["text"])
        if self.memory.retrieval != "reference":
            self.finite("pooled", (self.meta["prompts"], self.shape.batch, width))

    def check_offers(self) -> None:
        self.waiting = set()
        for frame, prompt, stored in self.meta["offers"]:
            _need(_whole(frame, -MAX_COUNT, self.end - 1), f"frame {frame!r} waits for the bank")
            _need(_whole(prompt, 0, self.meta["prompts"] - 1), f"a frame was made under prompt {prompt!r}")
            _need(isinstance(stored, bool), "a frame that waits for the bank is described wrongly")
            self.waiting |= {frame} if stored else set()
        if self.memory.retrieval == "reference":
            _need(_whole(self.meta["promised"], 0, MAX_COUNT), f"{self.meta['promised']!r} frames are promised a slot")
            _need(len(self.meta["offers"]) <= 1, "several frames are the newest")

    def check_pins(self) -> None:
        self.pins, self.named, self.kept = set(), {}, []
        if self.memory.retrieval == "reference":
            return
        pins = self.meta["pins"]
        proper = isinstance(pins, list) and all(_whole(pin, -MAX_COUNT, MAX_COUNT) for pin in pins)
        _need(proper and len(pins) <= self.memory.bank_slots, "its pins are no list of frames that fits the bank")
        self.pins, self.kept = set(pins), self.meta["kept"]
        _need(len(self.kept) == len(self.meta["named"]), "its named pins are described wrongly")
        for (name, frame), kept in zip(self.meta["named"], self.kept, strict=True):
            _need(isinstance(name, str) and name and name not in self.named, f"a pin's name is {name!r}")
            _need(_whole(frame, -MAX_COUNT, MAX_COUNT), f"pin {name!r} is of frame {frame!r}")
            self.named[name] = frame
            _need((kept is None) == (frame >= self.end), f"of pin {name!r} there is too much or too little")
            if kept is not None:
                _need(kept[0] == frame and kept[2] is True and len(kept) == 3, f"pin {name!r} is described wrongly")
                _need(_whole(kept[1], 0, self.meta["prompts"] - 1), f"pin {name!r} was made under prompt {kept[1]!r}")
        self._check_recall(self.meta["recalled"])

    def check_changes(self) -> None:
        """The prompt that waits, and the way to the one there is."""
        if "next" in self.meta:
            change = self.meta["next"]
            strange = change.keys() ^ {"text", "switch", "noise", "blend_chunks", "blend_path", "recall"}
            _need(not strange, f"of the prompt that waits, {sorted(strange)} is missing or unknown")
            self._check_text_number(change["text"])
            check_switch(change["switch"], change["blend_chunks"], change["blend_path"])
            if change["noise"] is not None:
                SeededNoise(change["noise"])
            self._check_recall(change["recall"])
        if "blend" in self.meta:
            blend = self.meta["blend"]
            _need(blend.keys() == {"before", "chunks", "path", "done"}, "its blend is described wrongly")
            self._check_text_number(blend["before"])
            check_switch("blend", blend["chunks"], blend["path"])
            _need(_whole(blend["done"], 1, blend["chunks"] - 1), f"its blend is at {blend['done']!r} chunks")

    def _check_recall(self, names: object) -> None:
        proper = isinstance(names, list) and all(self.named.get(name, self.end) < self.end for name in names)
        _need(proper, f"a prompt asks for {names!r}, which are no pins")
        needed = self.pins | {self.named[name] for name in names}
        _need(len(needed) <= self.memory.bank_slots or not names, "a prompt asks for more pins than the bank can hold")

    def check_ledger(self) -> None:
        ledger = self.meta["ledger"]
        _need(all(_whole(frame, -MAX_COUNT, self.end - 1) for frame in ledger["frames"]), "its ledger is out of range")
        held = self.banked | self.waiting | {kept[0] for kept in self.kept if kept}
        most = self._longest + len(held)
        _need(len(ledger["writes"]) <= most, f"its ledger has more than {most} writes")
        for write in ledger["writes"]:
            self._check_write(write)
        for frame, number in ledger["sources"]:
            _need(_whole(number, 0, len(ledger["writes"]) - 1), f"frame {frame!r} has no write")
            write = ledger["writes"][number]
            start, stop = write["start"] + write["unwritten"], write["start"] + write["frames"]
            _need(_whole(frame, start, stop - 1), f"frame {frame!r} is not where its keys were written")
        sources = {frame for frame, _ in ledger["sources"]}
        _need(held <= sources, "it holds frames that nothing is known of")

    def check_keys(self) -> None:
        if self.meta["content"] == COMPACT:
            return
        k, in_fp8 = self.tensors["k"], self.memory.cache == "fp8"
        kinds = (torch.uint8,) if in_fp8 else FLOATS
        _need(k.ndim == 6 and k.dtype in kinds, f"'k' has shape {list(k.shape)} and is {k.dtype}")
        _need(self.meta.get("dtype", "float32") in DTYPES, f"it was made in {self.meta.get('dtype')!r}")
        made = self.end - self.meta["at"]["origin"] - self.memory.sink_frames
        slots = self.bank + self.memory.sink_frames + max(0, min(made, self.memory.window_frames))
        lead, tokens, width = (self.layers, self.shape.batch, k.shape[2]), self.shape.tokens, k.shape[-1]
        shapes = {"k": (tokens, width), "v": (tokens, width), "mean_k": (width,), "scale_k": (), "scale_v": ()}
        shapes = {name: shapes[name] for name in part_names(in_fp8)}
        for name, shape in shapes.items():
            self.tensor(name, (*lead, slots, *shape), (k.dtype if name in "kv" else torch.float32,))
        outside = [(f"offer.{number}", stored) for number, (_, _, stored) in enumerate(self.meta["offers"])]
        outside += [(f"kept.{number}", kept is not None) for number, kept in enumerate(self.kept)]
        for prefix in (prefix for prefix, stored in outside if stored):
            for name, shape in shapes.items():
                self.tensor(f"{prefix}.{name}", (*lead, *shape), (k.dtype if name in "kv" else torch.float32,))

    def check_nothing_else(self) -> None:
        strange = [name for name in self.tensors if name not in self.known and not name.startswith(DECODER)]
        _need(not strange, f"nothing is known of {strange[:1]}")

    def _check_text_number(self, number: object) -> None:
        _need(_whole(number, 0, len(self.meta["texts"]) - 1), f"prompt {number!r} is not there")

    def _check_write(self, write: dict[str, Any]) -> None:
        start, frames = write["start"], write["frames"]
        _need(write["kind"] in WRITES, f"a write is of kind {write['kind']!r}")
        picture, unknown = (write["kind"] == kind for kind in ("picture", UNKNOWN))
        _need(not unknown or self.meta["content"] == EXACT, "it has to make keys again that nothing is known of")
        in_range = _whole(start, -MAX_COUNT, -2) if picture else _whole(start, 0, self.end)
        _need(in_range and _whole(frames, 1, 1 if picture or unknown else self._longest), "a write is out of range")
        _need(picture or start + frames <= self.end, "a write is out of range")
        _need(_whole(write["unwritten"], 0, frames - 1), "a write leaves nothing")
        self._check_text_number(write["text"])
        timestep = write["timestep"]
        _need(isinstance(timestep, (int, float)) and 0 <= timestep < 1000, f"a write is at timestep {timestep!r}")
        taking_part = set(range(start, start + frames))
        _need(unknown or taking_part <= self.latents, "a write has no latents")
        _need(isinstance(write["standing"], list), "a write stands nowhere")
        _need(set(write["standing"]) <= taking_part, "a write stands where it never was")
