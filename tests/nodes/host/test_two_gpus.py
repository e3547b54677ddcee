"""Model, VAE and CLIP each on the GPU that the user chose, and the same video. Collected where there are two GPUs."""

from __future__ import annotations

import pytest
import torch

FIRST, SECOND = torch.device("cuda", 0), torch.device("cuda", 1)


@pytest.fixture
def select(pack):
    """The module of ComfyUI's nodes that choose a device."""
    from comfy_extras import nodes_multigpu

    return nodes_multigpu


def devices_of(module: torch.nn.Module) -> set[torch.device]:
    return {parameter.device for parameter in module.parameters()}


def test_a_vae_on_the_second_gpu_decodes_there_beside_the_sampling(tiny, stream, written, select):
    stream()
    one = torch.cat(written)
    written.clear()
    (vae,) = select.SelectVAEDeviceNode.execute(tiny.vae, "gpu:1").result
    _, _, report = stream(vae=vae)
    assert report["overlap"]["chunks_beside"] > 0 and "GPU of its own" in report["overlap"]["why"]
    assert devices_of(vae.first_stage_model) == {SECOND} and devices_of(tiny.model.model) == {FIRST}
    assert (torch.cat(written).int() - one.int()).abs().max() <= 2


@pytest.mark.parametrize("part", ["model", "clip"])
def test_model_or_clip_on_the_second_gpu(tiny, part, select):
    expected = tiny.sample()[0]
    if part == "model":
        (model,) = select.SelectModelDeviceNode.execute(tiny.model, "gpu:1").result
        made = tiny.sample(model=model)[0]
        assert devices_of(model.model) == {SECOND}
    else:
        (clip,) = select.SelectCLIPDeviceNode.execute(tiny.clip, "gpu:1").result
        schedule = tiny.nodes.prompts.MemFlowPromptSchedule.execute(clip, "a robot walks in the meadow", "").result[0]
        expected = tiny.sample(schedule=tiny.schedule("a robot walks in the meadow"))[0]
        made = tiny.sample(schedule=schedule)[0]
    assert (made - expected).abs().max() <= 0.05 * expected.abs().max()
