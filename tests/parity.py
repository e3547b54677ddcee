"""Recordings of the published MemFlow program, replayed: `python -m tests.parity DIR [READER]`.

READER, one of `memflow_core.backends.READERS`, is how frames that SMA chose are read; `fused` needs TRITON_INTERPRET=1.
Prints one line a case (name, largest error, tolerance), then `N passed, N failed`; exits 1 on a miss. A case is a
JSON file with a `case` key and the safetensors file beside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from memflow_core.attention import MemoryAttention, Span
from memflow_core.backbone import Backbone, Compiler
from memflow_core.backends import memory_reader
from memflow_core.bank import Offer, PromptKeys, Prototype
from memflow_core.cache import KVCache, Occupancy
from memflow_core.checkpoints import cast
from memflow_core.config import MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.flow import FlowSchedule, denoising_timesteps
from memflow_core.lora import read_lora
from memflow_core.model import WanModel
from memflow_core.reference import ReferenceMemory, rank
from memflow_core.rope import Rope
from memflow_core.schedule import ChunkGrid, PromptSchedule, Segment, Time
from memflow_core.stream import LatentShape, Stream
from memflow_core.trace import Trace
from memflow_core.weights import read_generator

TOLERANCE = 2e-5
MERGED_LORA_TOLERANCE = 1e-5
BF16_TOLERANCE = 6e-2
# without a window limit the published program still attends to 21 latent frames at most
UNLIMITED_WINDOW = 21
SMA_FRAMES = 3  # a literal in the published code


@dataclass
class Check:
    """Largest errors of one case, each held to its own tolerance, and decisions that differ."""

    errors: list[tuple[str, float, float]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def close(self, name: str, ours: Tensor, golden: Tensor, tolerance: float = TOLERANCE) -> None:
        if ours.shape != golden.shape:
            self.wrong.append(f"{name} has shape {list(ours.shape)}, recorded {list(golden.shape)}")
            return
        error = (ours.double() - golden.double()).abs().max().item() if golden.numel() else 0.0
        self.errors.append((name, error, tolerance))

    def equal(self, name: str, ours: object, golden: object) -> None:
        if ours != golden:
            self.wrong.append(f"{name} is {ours}, recorded {golden}")

    @property
    def worst(self) -> tuple[str, float, float]:
        return max(self.errors, key=lambda entry: entry[1] / entry[2], default=("nothing compared", float("nan"), 0.0))

    @property
    def passed(self) -> bool:
        # written so that NaN fails
        return not self.wrong and bool(self.errors) and all(error <= limit for _, error, limit in self.errors)


@dataclass(frozen=True)
class Way:
    """How the forward is run: how SMA's choice is read, and what compiles the steps around attention, if anything."""

    reader: str = "gather"
    compiler: Compiler | None = None


WAYS = {
    "plain": Way(),
    "fused": Way(reader="fused"),
    # compiled but for the machine code, which needs a C++ compiler
    "traced": Way(compiler=partial(torch.compile, backend="aot_eager", dynamic=False)),
    "compiled": Way(compiler=partial(torch.compile, dynamic=False)),
}


@dataclass(frozen=True)
class Case:
    """One recording: its description, its tensors, and the files it shares with others."""

    path: Path
    way: Way = WAYS["plain"]

    @cached_property
    def info(self) -> dict:
        return json.loads(self.path.read_text())

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        return self.load(self.path.stem)

    def load(self, name: str) -> dict[str, Tensor]:
        return load_file(self.path.with_name(f"{name}.safetensors"))

    def file(self, role: str) -> Path:
        return self.path.with_name(self.info["files"][role])

    @cached_property
    def model(self) -> ModelConfig:
        sizes = self.info["model"]
        return ModelConfig(
            sizes["dim"],
            sizes["num_heads"],
            sizes["num_layers"],
            sizes["ffn_dim"],
            sizes["text_dim"],
            sizes["freq_dim"],
            sizes["in_dim"],
            sizes["out_dim"],
            sizes.get("eps", 1e-6),
        )

    @cached_property
    def memory(self) -> MemoryConfig:
        kwargs = self.info["model_kwargs"]
        attended = UNLIMITED_WINDOW if kwargs["local_attn_size"] == -1 else kwargs["local_attn_size"]
        return MemoryConfig(
            retrieval="reference",
            positions="absolute",
            sink_frames=kwargs["sink_size"],
            window_frames=attended - kwargs["sink_size"],
            bank_frames=kwargs["bank_size"],
            record_every=kwargs["record_interval"],
            global_sink=self.info.get("global_sink", True),
            top_k=(min(SMA_FRAMES, kwargs["sink_size"] + kwargs["bank_size"]) or None) if kwargs["SMA"] else None,
            record="latest" if self.info["case"] == "pipeline_single" else "interval",
        )

    @cached_property
    def sampling(self) -> SamplingConfig:
        return SamplingConfig(
            tuple(self.info["denoising_step_list"]),
            self.info["model_kwargs"]["timestep_shift"],
            self.info["warp_denoising_step"],
            self.info["context_noise"],
            self.info["model"]["num_frame_per_block"],
        )

    def shape(self, batch: int) -> LatentShape:
        return LatentShape(self.info["model"]["latent_h"], self.info["model"]["latent_w"], batch)

    def backbone(self, state_dict: dict[str, Tensor], dtype: torch.dtype = torch.float32) -> Backbone:
        tree = WanModel(self.model)
        tree.load_state_dict(state_dict)
        return Backbone(tree.to(dtype).requires_grad_(False), dtype, reader=self.way.reader, compiler=self.way.compiler)


class RecordedNoise:
    """The noise of a recording: noise [B, frames, C, h, w], renoise [blocks, step, B * F, C, h, w]."""

    def __init__(self, noise: Tensor, renoise: Tensor):
        self.noise, self.renoise = noise, renoise

    def chunk(self, index: int) -> Callable[[tuple[int, ...]], Tensor]:
        def draws() -> Iterator[Tensor]:
            frames = self.renoise.shape[2] // self.noise.shape[0]
            yield self.noise[:, index * frames : (index + 1) * frames].transpose(1, 2)
            for step in self.renoise[index]:
                yield step.unflatten(0, (self.noise.shape[0], frames)).transpose(1, 2)

        drawn = draws()
        return lambda shape: next(drawn).reshape(shape)


# -- whole pipelines --------------------------------------------------------------------------------------------------


def segment_starts(case: Case) -> dict[int, str]:
    """Chunk -> prompt that starts there, by the published rule: one switch a chunk start, the others wait."""
    starts = [0, *case.info["switch_frame_indices"]]
    segments = tuple(
        Segment(Time(start, "latent"), name) for start, name in zip(starts, case.info["segments"], strict=True)
    )
    grid = ChunkGrid(case.sampling.chunk_frames)
    plan = PromptSchedule(segments).place(grid, Time(case.info["frames"], "latent"), collisions="defer")
    return {placed.start_chunk: placed.prompt for placed in plan.segments}


def replay(case: Case, check: Check) -> None:
    inputs, chunks = case.load(case.info["files"]["inputs"]), case.info["frames"] // case.sampling.chunk_frames
    noise = RecordedNoise(inputs["noise"], inputs["renoise"])
    stream = Stream(
        case.backbone(case.load(case.info["files"]["weights"])),
        case.shape(case.info["batch"]),
        case.memory,
        case.sampling,
        noise,
        frames=case.info["frames"],
    )
    starts, made = segment_starts(case), []
    for chunk in range(chunks):
        if chunk in starts:
            stream.set_prompt(inputs[starts[chunk]])
        made.append(next(stream).latents)
    stable = "latents_stable_ties" in case.tensors
    golden = case.tensors["latents_stable_ties" if stable else "latents"]
    check.close("latents", torch.cat(made, dim=2).transpose(1, 2), golden)
    timesteps = torch.tensor(denoising_timesteps(case.sampling))
    if "denoising_timesteps_used" in case.info:
        check.close("timesteps", timesteps, torch.tensor(case.info["denoising_timesteps_used"]), 1e-3)
    if "trace_file" in case.info:
        compare_decisions(case, stream.trace, check, until_tie=stable)


def frame_of(label: str) -> int:
    """The latent frame of a slot label; '15r18' is frame 15, recomputed at 18."""
    return int(label.split("r")[0])


def compare_decisions(case: Case, trace: Trace, check: Check, until_tie: bool) -> None:
    """Which frame stands in which slot, per layer and batch item, after every bank update.

    Recordings with `latents_stable_ties` were traced with another rule for ties, so theirs are compared up to the
    first tie.
    """
    calls = json.loads(case.path.with_name(case.info["trace_file"]).read_text())["calls"]
    recorded = [
        call["bank_update"]["layers"]
        for call in calls
        if call.get("bank_update") and call["bank_update"]["layers"][0]["action"] != "none"
    ]
    ours = [record["after"] for record in trace.records if record["event"] == "retrieve"]
    if not until_tie:
        check.equal("number of bank updates", len(ours), len(recorded))
    for update, (mine, layers) in enumerate(zip(ours, recorded, strict=False)):
        if until_tie and layers[0]["action"] == "compress" and layers[0].get("text_k_is_zero"):
            return
        labels = [[[frame_of(label) for label in slots] for slots in layer["slots_after"]] for layer in layers]
        check.equal(f"bank after update {update}", mine, labels)


# -- single calls with the whole state before and after ---------------------------------------------------------------


class UnitCall:
    """One forward of the published program, from its recorded state."""

    def __init__(self, case: Case):
        self.case, self.flags, self.memory = case, case.info["flags"], case.memory
        tensors, model = case.tensors, case.model
        self.x = tensors["x"].transpose(1, 2)
        batch, frames = self.x.shape[0], self.x.shape[2]
        indices = tensors["pre.idx.0"].tolist()
        self.end, self.promised, self.text_known = indices[0], indices[3], bool(indices[4])
        at = Occupancy(self.memory.sink_frames, self.memory.window_frames, self.memory.bank_slots, end=self.end)
        shape = case.shape(batch)
        self.cache = KVCache(model.num_layers, batch, model.num_heads, shape.tokens, model.head_dim, at)
        rope = Rope(model.head_dim, shape.rows // 2, shape.columns // 2)
        self.backbone = case.backbone(case.load(case.info["files"]["weights"]))
        reader = memory_reader(self.backbone, self.memory, SamplingConfig(), shape, torch.device("cpu"))
        self.attention = MemoryAttention(
            self.cache, rope, self.backbone.attention, self.memory.top_k, zero_sink=True, reader=reader
        )
        self.bank = ReferenceMemory(self.cache, self.memory, Trace(), self._rank)
        self.span = Span(self.flags["current_start_frame"], frames)
        self._restore()

    def _rank(self, scores: Tensor) -> Tensor:
        """Ours, except where all scores are zero: what the recording machine made of that tie is input, not result."""
        layers = self.case.info["bank_update"]["layers"]
        if not all(layer["text_k_is_zero"] for layer in layers):
            return rank(scores)
        kept = torch.tensor([layer["topk"] for layer in layers])
        dropped = scores.shape[-1] * (scores.shape[-1] - 1) // 2 - kept.sum(dim=-1, keepdim=True)
        return torch.cat((kept, dropped), dim=-1)

    def _frames(self, flat: Tensor) -> Tensor:
        """[B, frames * S, H, Dh] -> [B, H, frames, S, Dh]."""
        return flat.unflatten(1, (-1, self.cache.k.shape[4])).permute(0, 3, 1, 2, 4)

    def _window_slots(self) -> list[int]:
        """Our slots in the order of the published cache: sink, then window from old to new."""
        at = self.cache.at
        sink = range(at.origin, at.origin + at.sink)
        return [at.slot(frame) for frame in [*sink, *range(at.window_start, at.end)]]

    def _bank_slots(self) -> list[int]:
        return [self.cache.at.bank_slots - 1 - place for place in range(self.cache.at.bank_slots)]

    def _restore(self) -> None:
        tensors = self.case.tensors
        for layer in range(len(self.cache.k)):
            for name, ours in (("k", self.cache.k), ("v", self.cache.v)):
                cached, banked = (
                    self._frames(tensors[f"pre.kv.{layer}.{name}"]),
                    self._frames(tensors[f"pre.bank.{layer}.{name}"]),
                )
                slots = self._window_slots()
                ours[layer, :, :, slots] = cached[:, :, : len(slots)]
                ours[layer, :, :, self._bank_slots()] = banked
        self.cache.mean_k.copy_(self.cache.k.mean(dim=4))
        self.cache.at.bank = min(self.promised, self.memory.bank_slots)
        self.bank.promised = self.promised
        if self.promised:
            k, v = (
                torch.stack(
                    [
                        self._frames(tensors[f"pre.bank.{layer}.{name}_new"])[:, :, 0]
                        for layer in range(len(self.cache.k))
                    ]
                )
                for name in ("k", "v")
            )
            self.bank.newest = Offer(0, 0, Prototype(k, v, k.mean(dim=3)))

    def run(self, check: Check) -> None:
        tensors, flags = self.case.tensors, self.flags
        kv = self.backbone.embed_text(tensors["text"])
        keys = PromptKeys.of(0, tensors["text"], kv)
        if flags["q_bank"]:
            self.bank.update(0, keys, self.text_known)
        at, cur_end = self.cache.at, self.span.start + self.span.frames
        if cur_end <= self.end and self.span.start > 0:
            self.span = Span(self.span.start, self.span.frames, unwritten=self.memory.sink_frames)
        at.end = max(at.end, cur_end)
        self.attention.begin(self.span)
        flow = self.backbone(self.x, tensors["t"][0], kv, self.attention)
        check.close("flow", flow.transpose(1, 2), tensors["flow"])
        schedule = FlowSchedule(self.case.info["model_kwargs"]["timestep_shift"])
        check.close("x0", schedule.x0(self.x, flow, tensors["t"][0, 0].item()).transpose(1, 2), tensors["x0"])
        if flags["update_bank"] and flags["update_cache"]:
            self.bank.record(self.span.start // self.span.frames, self.span.start, keys)
        self._compare_state(check)

    def _compare_state(self, check: Check) -> None:
        tensors, batch = self.case.tensors, len(self.x)
        window = torch.tensor([self._window_slots()] * batch)
        for layer in range(len(self.cache.k)):
            for name, ours in (("k", self.cache.k), ("v", self.cache.v)):
                self._compare(check, f"post.kv.{layer}.{name}", ours[layer], window)
                listed = self.cache.order[layer, :, : self.cache.at.bank]
                self._compare(check, f"post.bank.{layer}.{name}", ours[layer], listed)
                if f"post.bank.{layer}.{name}_new" in tensors:
                    new = getattr(self.bank.newest.prototype, name)[layer][:, :, None]
                    check.close(f"{name}_new.{layer}", new, self._frames(tensors[f"post.bank.{layer}.{name}_new"]))
        if self.flags["update_cache"]:
            check.equal(
                "indices",
                [self.cache.at.end, self.bank.promised],
                tensors.get("post.idx.0", tensors["pre.idx.0"])[[0, 3]].tolist(),
            )

    def _compare(self, check: Check, name: str, ours: Tensor, slots: Tensor) -> None:
        """ours [B, H, slots, S, Dh] against a recording; slots [B, n] lists ours in its order."""
        if name in self.case.tensors:
            golden = self._frames(self.case.tensors[name])
            listed = torch.stack([item[:, places] for item, places in zip(ours, slots, strict=True)])
            check.close(name, listed, golden[:, :, : slots.shape[1]])


# -- scheduler and checkpoint files -----------------------------------------------------------------------------------


def compare_scheduler(case: Case, check: Check) -> None:
    tensors, flow = case.tensors, FlowSchedule(case.info["shift"])
    check.close("sigmas", flow.sigmas, tensors["sigmas"])
    check.close("timesteps", flow.timesteps, tensors["timesteps"], 1e-3)
    for name in (name for name in tensors if name.startswith("denoise_in_")):
        warped = tensors[name.replace("in", "warped")]
        check.close(name, torch.tensor(flow.warp(tuple(tensors[name].tolist()))), warped, 1e-3)
    for item, t in enumerate(tensors["an_t"].tolist()):
        noised = flow.add_noise(tensors["an_x0"][item], tensors["an_noise"][item], t)
        check.close("add_noise", noised, tensors["an_out"][item])
    for item, t in enumerate(tensors["cv_t"].tolist()):
        check.close("x0", flow.x0(tensors["cv_xt"][item], tensors["cv_flow"][item], t), tensors["cv_x0"][item])


def compare_checkpoints(case: Case, check: Check) -> None:
    tensors, x, t = case.tensors, case.tensors["x"].transpose(1, 2), case.tensors["t"][0]
    schedule = FlowSchedule(case.info["model_kwargs"]["timestep_shift"])

    def compare(name: str, state_dict: dict[str, Tensor], tolerance: float, dtype: torch.dtype = torch.float32) -> None:
        stream = Stream(case.backbone(state_dict, dtype), case.shape(x.shape[0]), case.memory)
        stream.cache.at.end = x.shape[2]
        stream.attention.begin(Span(0, x.shape[2]))
        kv = stream.backbone.embed_text(tensors["text"])
        flow = stream.backbone(x.to(dtype), t, kv, stream.attention)
        check.close(f"flow_{name}", flow.transpose(1, 2).float(), tensors[f"flow_{name}"], tolerance)
        if f"x0_{name}" in tensors:
            x0 = schedule.x0(x.to(dtype), flow, t[0].item())
            check.close(f"x0_{name}", x0.transpose(1, 2).float(), tensors[f"x0_{name}"], tolerance)

    def read(role: str, which: str) -> dict[str, Tensor]:
        """The weights in float32, which the recorded program holds them in whatever the file's precision."""
        generator = read_generator(case.file(role), which, case.model.num_heads)
        check.equal("sizes", replace(generator.config, eps=case.model.eps), case.model)
        return cast(generator.state_dict, torch.float32)

    base, alpha = read("base", "auto"), case.info["lora_alpha"]
    compare("base", base, TOLERANCE)
    compare("base_bf16", base, BF16_TOLERANCE, torch.bfloat16)
    compare("ema", read("base_ema", "generator_ema"), TOLERANCE)
    merged = read_lora(case.file("lora")).merge(base, alpha=alpha)
    compare("lora", merged, MERGED_LORA_TOLERANCE)
    compare("lora_merged", merged, MERGED_LORA_TOLERANCE)
    for name in (name for name in tensors if name.startswith("merged.")):
        check.close(name, merged[name.removeprefix("merged.")], tensors[name], MERGED_LORA_TOLERANCE)
    # the same LoRA, rounded
    compare("lora", read_lora(case.file("lora_raw")).merge(base, alpha=alpha), BF16_TOLERANCE)


SHARED = ("weights", "inputs")  # files that cases read, described in the same way
KINDS: dict[str, Callable[[Case, Check], None]] = {
    "pipeline_single": replay,
    "pipeline_interactive": replay,
    "unit_forward": lambda case, check: UnitCall(case).run(check),
    "scheduler": compare_scheduler,
    "checkpoint_formats": compare_checkpoints,
}


def find_cases(folder: Path, way: str = "plain") -> list[Case]:
    """Every recording in a folder; shared weights and inputs are not cases of their own."""
    files = [path for path in sorted(folder.glob("*.json")) if not path.name.endswith(".trace.json")]
    described = [Case(path, WAYS[way]) for path in files]
    return [case for case in described if case.info.get("case", SHARED[0]) not in SHARED]


@torch.inference_mode()
def run_case(case: Case) -> Check:
    check = Check()
    KINDS[case.info["case"]](case, check)
    return check


def main(folder: str, way: str = "plain") -> int:
    cases, failed = find_cases(Path(folder), way), 0
    if not cases:
        print(f"there are no recordings in {folder}.")
    for case in cases:
        try:
            check = run_case(case)
            name, error, tolerance = check.worst
            passed, said = check.passed, f"largest error {error:.2e} ({name}), tolerance {tolerance:.0e}"
            said += "".join(f"; {wrong[:300]}" for wrong in check.wrong[:2])
        except Exception as error:  # one broken recording must not hide the others
            passed, said = False, f"{type(error).__name__}: {error}"
        failed += not passed
        print(f"{'ok  ' if passed else 'MISS'} {case.path.stem}: {said}", flush=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    fits = len(sys.argv) == 2 or (len(sys.argv) == 3 and sys.argv[2] in WAYS)
    sys.exit(main(*sys.argv[1:]) if fits else f"usage: python -m tests.parity DIR [{' | '.join(WAYS)}]")
