"""Replay single recorded forward passes, with the whole state before and after."""

from __future__ import annotations

import torch
from torch import Tensor

from memflow_core.attention import MemoryAttention, memory_reader
from memflow_core.config import SamplingConfig
from memflow_core.memory import (
    Candidate,
    FrameKV,
    FrameSpan,
    KVCache,
    PromptKeys,
    ReferenceMemory,
    SlotLayout,
    Trace,
    rank,
)
from memflow_core.model import Rope
from memflow_core.stream import FlowSchedule

from .case import Case, Check


class UnitCall:
    """One forward pass of the published program, run from its recorded state."""

    def __init__(self, case: Case):
        self.case, self.flags, self.memory = case, case.info["flags"], case.memory
        self.tensors = {name: tensor.to(case.device) for name, tensor in case.tensors.items()}
        tensors, model = self.tensors, case.model
        self.x = tensors["x"].transpose(1, 2)
        batch, frames = self.x.shape[0], self.x.shape[2]
        indices = tensors["pre.idx.0"].tolist()
        self.end, self.promised, self.text_known = indices[0], indices[3], bool(indices[4])
        shape = case.shape(batch)
        self.backbone = case.backbone(case.load(case.info["files"]["weights"]))
        self.cache = KVCache(
            SlotLayout(self.memory.sink_frames, self.memory.window_frames, self.memory.bank_slots, end=self.end),
            layers=model.num_layers,
            batch=batch,
            heads=self.backbone.share.count,
            tokens=shape.tokens,
            head_dim=model.head_dim,
            device=case.device,
            share=self.backbone.share,
        )
        rope = Rope(model.head_dim, shape.rows // 2, shape.columns // 2, case.device)
        reader = memory_reader(self.backbone, self.memory, SamplingConfig(), shape, case.device)
        self.attention = MemoryAttention(
            self.cache,
            rope,
            backend=self.backbone.attention,
            top_k=self.memory.top_k,
            reads_empty_sink=True,
            reader=reader,
        )
        self.bank = ReferenceMemory(self.cache, self.memory, trace=Trace(), rank=self._rank)
        self.bank.text_known = self.text_known
        self.span = FrameSpan(self.flags["current_start_frame"], frames)
        self._restore()

    def _rank(self, scores: Tensor) -> Tensor:
        """Rank as we do. Where all scores are zero, the order depends on the machine, and the recorded one is used."""
        layers = self.case.info["bank_update"]["layers"]
        if not all(layer["text_k_is_zero"] for layer in layers):
            return rank(scores)
        kept = torch.tensor([layer["topk"] for layer in layers], device=scores.device)
        dropped = scores.shape[-1] * (scores.shape[-1] - 1) // 2 - kept.sum(dim=-1, keepdim=True)
        return torch.cat((kept, dropped), dim=-1)

    def _frames(self, flat: Tensor) -> Tensor:
        """[B, frames * S, H, Dh] -> [B, own heads, frames, S, Dh]."""
        return flat.unflatten(1, (-1, self.cache.k.shape[4])).permute(0, 3, 1, 2, 4)[:, self.cache.share.own]

    def _window_slots(self) -> list[int]:
        """Return our slots in the order of the published cache: sink, then window from old to new."""
        at = self.cache.layout
        sink = range(at.origin, at.origin + at.sink)
        return [at.slot(frame) for frame in [*sink, *range(at.window_start, at.end)]]

    def _bank_slots(self) -> list[int]:
        return [self.cache.layout.bank_slots - 1 - place for place in range(self.cache.layout.bank_slots)]

    def _restore(self) -> None:
        tensors = self.tensors
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
        self.cache.layout.bank = min(self.promised, self.memory.bank_slots)
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
            self.bank.newest = Candidate(0, 0, FrameKV(k, v, k.mean(dim=3)))

    def run(self, check: Check) -> None:
        tensors, flags = self.tensors, self.flags
        kv = self.backbone.embed_text(tensors["text"])
        keys = PromptKeys.of(0, tensors["text"], kv)
        if flags["q_bank"]:
            self.bank.update(0, keys)
        at, cur_end = self.cache.layout, self.span.start + self.span.frames
        if cur_end <= self.end and self.span.start > 0:
            self.span = FrameSpan(self.span.start, self.span.frames, query_only=self.memory.sink_frames)
        at.end = max(at.end, cur_end)
        flow = self.backbone(self.x, tensors["t"][0], kv, self.attention.begin(self.span))
        check.close("flow", flow.transpose(1, 2), tensors["flow"])
        schedule = FlowSchedule(self.case.info["model_kwargs"]["timestep_shift"])
        check.close("x0", schedule.x0(self.x, flow, tensors["t"][0, 0].item()).transpose(1, 2), tensors["x0"])
        if flags["update_bank"] and flags["update_cache"]:
            self.bank.after_chunk(self.span.start // self.span.frames, self.span.start, keys)
        self._compare_state(check)

    def _compare_state(self, check: Check) -> None:
        tensors, batch = self.tensors, len(self.x)
        window = torch.tensor([self._window_slots()] * batch, device=self.case.device)
        for layer in range(len(self.cache.k)):
            for name, ours in (("k", self.cache.k), ("v", self.cache.v)):
                self._compare(check, f"post.kv.{layer}.{name}", ours[layer], window)
                listed = self.cache.order[layer, :, : self.cache.layout.bank]
                self._compare(check, f"post.bank.{layer}.{name}", ours[layer], listed)
                if f"post.bank.{layer}.{name}_new" in tensors:
                    new = getattr(self.bank.newest.kv, name)[layer][:, :, None]
                    check.close(f"{name}_new.{layer}", new, self._frames(tensors[f"post.bank.{layer}.{name}_new"]))
        if self.flags["update_cache"]:
            check.equal(
                "indices",
                [self.cache.layout.end, self.bank.promised],
                tensors.get("post.idx.0", tensors["pre.idx.0"])[[0, 3]].tolist(),
            )

    def _compare(self, check: Check, name: str, ours: Tensor, slots: Tensor) -> None:
        """Compare our slots, [B, H, slots, S, Dh], with a recording, in whose order `slots` [B, n] lists them."""
        if name in self.tensors:
            golden = self._frames(self.tensors[name])
            listed = torch.stack([item[:, places] for item, places in zip(ours, slots, strict=True)])
            check.close(name, listed, golden[:, :, : slots.shape[1]])
