"""Graphs with other nodes between loader and sampler: what a stream cannot use is told or refused, never in silence."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch

from tests.cases.graphs import with_lora
from tools import random_graphs

# -- what is told, and what is refused --------------------------------------------------------------------------------


def test_any_option_of_any_name_on_the_model_is_told(graphs):
    """Walked through, not looked up: none of these names is known to the pack."""

    def put(model, how):
        how(model)
        return model

    ways = {
        "new_option": lambda m: m.model_options.update(new_option=object()),
        "new_inner": lambda m: m.model_options["transformer_options"].update(new_inner=3),
        "patches.new_patch": lambda m: m.set_model_patch(lambda x: x, "new_patch"),
        "patches_replace.dit.double_block": lambda m: m.set_model_patch_replace(lambda *a: a, "dit", "double_block", 0),
        "wrappers.diffusion_model.new_key": lambda m: m.add_wrapper_with_key("diffusion_model", "new_key", len),
        "callbacks.on_prepare_state.new_key": lambda m: m.add_callback_with_key("on_prepare_state", "new_key", len),
        "attachments.new_attachment": lambda m: m.set_attachments("new_attachment", object()),
        "additional_models.new_models": lambda m: m.set_additional_models("new_models", [graphs.tiny.model]),
        "diffusion_model.blocks.*.self_attn.forward": lambda m: [
            m.add_object_patch(f"diffusion_model.blocks.{number}.self_attn.forward", block.self_attn.forward)
            for number, block in enumerate(m.model.diffusion_model.blocks)
        ],
        "concat_keys": lambda m: m.add_object_patch("concat_keys", ("concat_image",)),
    }
    for option, how in ways.items():
        made, told = graphs.run(put(graphs.tiny.model.clone(), how))
        assert torch.equal(made, graphs.plain)
        assert told == [f"{option} is not used: the video is made as if it were not there."], option


def test_what_a_stream_does_use_is_not_told(graphs):
    """Weights, object patches on layers that it calls, the compute precision, and callbacks that it runs."""
    calls = []
    model = with_lora(graphs.tiny.model)
    block = model.model.diffusion_model.blocks[0]
    model.add_object_patch(
        "diffusion_model.blocks.0.ffn.forward",
        lambda x: calls.append("ffn") or torch.nn.Sequential.forward(block.ffn, x),
    )
    model.add_callback_with_key("on_pre_run", "k", lambda *_: calls.append("pre_run"))
    model.set_model_compute_dtype(torch.float32)
    made, told = graphs.run(model)
    assert told == [] and calls == ["pre_run", "ffn", "ffn", "ffn"]
    assert torch.equal(made, graphs.run(with_lora(graphs.tiny.model))[0])


TOLD = {
    "area": ({"area": (8, 8, 0, 0)}, "Conditioning (Set Area) (area)"),
    "strength": ({"strength": 0.5}, "Conditioning (Set Area Strength) (strength)"),
    "mask": ({"mask": torch.ones(1, 64, 64), "mask_strength": 1.0}, "Conditioning (Set Mask) (mask)"),
    "start": ({"start_percent": 0.2, "end_percent": 1.0}, "ConditioningSetTimestepRange (start_percent)"),
    "end": ({"start_percent": 0.0, "end_percent": 0.5}, "ConditioningSetTimestepRange (end_percent)"),
    "guidance": ({"guidance": 3.5}, "FluxGuidance (guidance)"),
    "unknown": ({"new_key": 7}, "new_key"),
    "unknown numbers": ({"new_key": torch.ones(3)}, "new_key"),
}


@pytest.mark.parametrize("name", TOLD)
def test_options_on_a_prompt_are_told_by_the_node_that_sets_them(graphs, name):
    options, what = TOLD[name]
    conditioning = [[embedding, {**known, **options}] for embedding, known in graphs.words()]
    made, told = graphs.run(conditioning=conditioning)
    assert torch.equal(made, graphs.plain)
    assert told == [f"{what} is not used: the video is made as if it were not there."]


def test_options_that_ask_for_nothing_are_not_told(graphs):
    options = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0, "mask": None, "set_area_to_bounds": False}
    conditioning = [[embedding, {**known, **options}] for embedding, known in graphs.words()]
    assert graphs.run(conditioning=conditioning)[1] == []


PICTURES = (
    "concat_latent_image", "concat_mask", "clip_vision_output", "vace_frames", "reference_latents", "control",
    "control_video", "camera_conditions", "time_dim_concat", "audio_embed", "pose_video_latent", "context_latents",
)  # fmt: skip


@pytest.mark.parametrize("name", [*PICTURES, "something new with pictures"])
def test_pictures_sound_and_control_on_a_prompt_are_refused_by_name(graphs, name, monkeypatch):
    monkeypatch.setattr(graphs.tiny.nodes.host, "sampling", None)
    value = torch.zeros(1, 16, 3, 8, 8) if " " in name else object()
    conditioning = [
        [embedding, {**known, name: [value] if " " in name else value}] for embedding, known in graphs.words()
    ]
    nodes = graphs.tiny.nodes.images
    picture = torch.rand(1, 64, 64, 3)
    for give in (
        lambda: graphs.segments((0.0, conditioning)),
        lambda: nodes.MemFlowStartImages.execute(graphs.tiny.vae, conditioning, picture, 64, 64, 33, 16.0),
        lambda: nodes.MemFlowRememberImages.execute(graphs.tiny.vae, conditioning, picture, 64, 64),
    ):
        with pytest.raises(ValueError, match=rf"\({name}\)") as error:
            give()
        assert "\n" not in str(error.value) and "MemFlow Start Images" in str(error.value)


def test_what_prompts_of_pictures_carry_is_told_too(graphs):
    conditioning = [[embedding, {**known, "new_key": 7}] for embedding, known in graphs.words()]
    node = graphs.tiny.nodes.images.MemFlowStartImages
    state = node.execute(graphs.tiny.vae, conditioning, torch.rand(1, 64, 64, 3), 64, 64, 9, 16.0).result[0]
    _, told = graphs.run(state=state, length=12, memory=graphs.tiny.memory())
    assert told == ["new_key is not used: the video is made as if it were not there."]


OTHER_SAMPLINGS = {
    "ModelSamplingDiscrete": ("eps", False),
    "ModelSamplingContinuousEDM": ("v_prediction", 120.0, 0.002),
    "ModelSamplingContinuousV": ("v_prediction", 500.0, 0.03),
    "ModelSamplingStableCascade": (2.0,),
    "ModelSamplingFlux": (1.15, 0.5, 64, 64),
}


@pytest.mark.parametrize("name", OTHER_SAMPLINGS)
def test_other_samplings_are_refused_by_name(graphs, name, monkeypatch):
    from comfy_extras import nodes_model_advanced as nodes

    monkeypatch.setattr(graphs.tiny.nodes.host, "sampling", None)
    model = getattr(nodes, name)().patch(graphs.tiny.model, *OTHER_SAMPLINGS[name])[0]
    with pytest.raises(ValueError, match=f"^{name} on the model asks for another sampling"):
        graphs.run(model)


FOREIGN = ("vace_patch_embedding", "audio_injector", "casual_audio_encoder", "control_adapter", "pose_patch_embedding")


@pytest.mark.parametrize("part", FOREIGN)
def test_models_with_parts_that_a_stream_would_leave_out_are_refused(graphs, part, monkeypatch):
    monkeypatch.setattr(graphs.tiny.nodes.host, "sampling", None)
    tree = graphs.tiny.model.model.diffusion_model
    monkeypatch.setitem(tree._modules, part, torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match=f"whose {part} a stream would leave out"):
        graphs.run()


SMALL = {"dim": 48, "ffn_dim": 64, "num_heads": 2, "num_layers": 2, "text_dim": 8}
CORE_MODELS = {
    "VaceWanModel": ("comfy.ldm.wan.model", {"model_type": "vace", "vace_layers": 2, "vace_in_dim": 96}),
    "CameraWanModel": ("comfy.ldm.wan.model", {"model_type": "camera", "in_dim_control_adapter": 24}),
    "WanModel_S2V": ("comfy.ldm.wan.model", {"audio_inject_layers": [0], "audio_dim": 8, "cond_dim": 16}),
    "HumoWanModel": ("comfy.ldm.wan.model", {"audio_token_num": 4}),
    "AnimateWanModel": ("comfy.ldm.wan.model_animate", {}),
    "WanModel": ("comfy.ldm.wan.model", {"model_type": "i2v", "in_dim": 36}),
    "CausalWanModel": ("comfy.ldm.wan.ar_model", {}),
}


@pytest.mark.parametrize("name", CORE_MODELS)
def test_comfyuis_own_variants_of_wan_are_refused_and_its_causal_one_is_not(tiny, name):
    """Each as ComfyUI builds it, with few and narrow layers."""
    import comfy.ops

    module, options = CORE_MODELS[name]
    kind = getattr(importlib.import_module(module), name)
    tree = kind(**SMALL, **options, device="meta", dtype=torch.float32, operations=comfy.ops.disable_weight_init)
    model = tiny.model.clone()
    model.add_object_patch("diffusion_model", tree)
    if name == "CausalWanModel":
        assert tiny.nodes.host.wan_tree(model) is tree
    else:
        with pytest.raises(ValueError, match="cannot be streamed"):
            tiny.nodes.host.wan_tree(model)


def test_a_block_with_a_part_more_and_a_model_of_another_size_are_refused(graphs, monkeypatch):
    monkeypatch.setattr(graphs.tiny.nodes.host, "sampling", None)
    model = graphs.tiny.model
    with monkeypatch.context() as patched:
        patched.setitem(model.model.diffusion_model.blocks[1]._modules, "after_proj", torch.nn.Linear(2, 2))
        with pytest.raises(ValueError, match=r"blocks\.1\.after_proj"):
            graphs.run()
    with monkeypatch.context() as patched:
        patched.setattr(model.model.latent_format, "spacial_downscale_ratio", 16)
        with pytest.raises(ValueError, match="16 latent channels for 16 x 16 pixels.*48 for 16 x 16"):
            graphs.run()


# -- where it is said -------------------------------------------------------------------------------------------------


def test_what_is_told_is_in_the_plan_on_the_node_and_in_the_report(graphs, monkeypatch):
    nodes, sent, shown = graphs.tiny.nodes, [], []
    monkeypatch.setattr(nodes.host.Page, "send", lambda self, event, data: sent.append((event, data)))
    monkeypatch.setattr(nodes.host.Progress, "show_text", lambda self, text: shown.append(text))
    model = graphs.tiny.model.clone()
    model.model_options["new_option"] = object()
    _, told = graphs.run(model)
    plan = next(data for event, data in sent if event == "memflow.plan")
    assert plan["lines"][-1] == told[0]
    assert plan["said"][-1] == ["{0} is not used: the video is made as if it were not there.", "new_option"]
    assert len(shown) == 2 and all(text.endswith(told[0]) for text in shown)
    assert shown[1].startswith("chunk 1 of 1")


# -- random nodes -----------------------------------------------------------------------------------------------------

LIST = Path(__file__).with_name("random_graphs.json")
SEED, TRIED = 1, 6


def test_of_the_hundred_random_graphs_none_was_silent():
    verdicts = [node["verdict"] for graph in json.loads(LIST.read_text(encoding="utf-8")) for node in graph]
    assert len(json.loads(LIST.read_text(encoding="utf-8"))) == 100
    assert set(verdicts) == {"honoured", "told", "refused", "nothing"}


@pytest.mark.slow
def test_random_nodes_between_loader_and_sampler_are_never_silent(pack, tmp_path):
    """The first graphs of the list, again. `python -m tools.random_graphs` makes all of it."""
    bench = random_graphs.Bench(pack, tmp_path)
    played = random_graphs.report_on(bench, TRIED, SEED)
    listed = json.loads(LIST.read_text(encoding="utf-8"))[:TRIED]
    assert [[node["verdict"] for node in graph] for graph in played] == [
        [node["verdict"] for node in graph] for graph in listed
    ]
    assert random_graphs.SILENT not in {node["verdict"] for graph in played for node in graph}
