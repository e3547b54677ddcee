"""Short runs of the pack's nodes in this process, on the tiny model."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
import torch

from tests.nodes.conftest import stream, tiny, written  # noqa: F401

# prompts of the tiny stories
PROMPT, OTHER = "a robot walks in the meadow", "an empty beach"


@dataclass
class Graphs:
    """Short runs on the tiny model. `plain` is what a run without further nodes makes."""

    tiny: object
    plain: torch.Tensor = None

    def words(self, text: str = PROMPT) -> list:
        return self.tiny.clip.encode_from_tokens_scheduled(self.tiny.clip.tokenize(text))

    def segments(self, *parts) -> object:
        """A schedule of (seconds, CONDITIONING) by MemFlow Prompt Segment."""
        schedule = None
        for start, conditioning in parts:
            node = self.tiny.nodes.prompts.MemFlowPromptSegment
            schedule = node.execute(conditioning, start, "seconds", "recache", schedule).result[0]
        return schedule

    def run(self, model=None, conditioning=None, **changes) -> tuple[torch.Tensor, list[str]]:
        """Latents of a run of one chunk, and what its report tells, beside what memory on auto became."""
        inputs = {"length": 9, "model": model or self.tiny.model}
        inputs["schedule"] = self.segments((0.0, conditioning or self.words()))
        samples, _, report = self.tiny.sample(**(inputs | changes))
        return samples, [line for line in json.loads(report)["told"] if not line.startswith("Memory on auto: ")]


@pytest.fixture(scope="module")
def graphs(tiny) -> Graphs:  # noqa: F811
    made = Graphs(tiny)
    made.plain, told = made.run()
    assert told == []
    return made


def lora_of(model) -> dict[str, torch.Tensor]:
    """Keys and numbers of a LoRA for all matrices of the model, embeddings included."""
    random, made = torch.Generator().manual_seed(3), {}
    for name, weight in model.model.state_dict().items():
        if name.startswith("diffusion_model.") and name.endswith(".weight") and weight.ndim == 2:
            made[f"{name[:-7]}.lora_A.weight"] = torch.randn(2, weight.shape[1], generator=random) / 8
            made[f"{name[:-7]}.lora_B.weight"] = torch.randn(weight.shape[0], 2, generator=random) / 8
    return made


def with_lora(model, strength: float = 1.0):
    """The model with that LoRA."""
    import comfy.sd

    return comfy.sd.load_lora_for_models(model, None, lora_of(model), strength, 0.0)[0]
