"""Fingerprints of models: what changes a stream's numbers changes them, or there is none; what does not, does not."""

from __future__ import annotations

import functools
import sys

import pytest
import torch
from torch import nn

FFN = "diffusion_model.blocks.0.ffn"
WEIGHT = f"{FFN}.0.weight"


@pytest.fixture
def host(tiny):
    return tiny.nodes.host


@pytest.fixture
def model(tiny):
    return tiny.model.clone()


@pytest.fixture
def tree(tiny):
    return tiny.model.model.diffusion_model


class Doubled(nn.Module):
    """A feed-forward of a node's, with a setting in a plain attribute."""

    def __init__(self, inner, times=2.0, more=None):
        super().__init__()
        self.inner = inner
        self.times = times
        self.more = more

    def forward(self, x):
        return self.inner(x) * self.times


def bent(x):
    return x * 1.5


# -- what has another fingerprint -------------------------------------------------------------------------------------


def patched(model, value, strength=1.0):
    weight = model.model.diffusion_model.blocks[0].ffn[0].weight
    model.add_patches({WEIGHT: ("diff", (torch.full_like(weight, value),))}, strength)


OTHERS = {
    "a patch": lambda model: patched(model, 0.01),
    "another strength": lambda model: patched(model, 0.01, 0.5),
    "another number": lambda model: patched(model, 0.02),
    "a module": lambda model: model.add_object_patch(FFN, Doubled(model.model.diffusion_model.blocks[0].ffn)),
    "its setting": lambda model: model.add_object_patch(FFN, Doubled(model.model.diffusion_model.blocks[0].ffn, 3.0)),
    "a value": lambda model: model.add_object_patch("diffusion_model.blocks.0.norm3.eps", 1e-3),
    "the precision": lambda model: model.add_object_patch("manual_cast_dtype", torch.bfloat16),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_changes_numbers_changes_it(host, tiny, model, kind):
    plain = host.model_fingerprint(tiny.model)
    OTHERS[kind](model)
    changed = host.model_fingerprint(model)
    assert changed != plain and changed == host.model_fingerprint(model)
    others = [tiny.model.clone() for _ in OTHERS]
    for other, change in zip(others, OTHERS, strict=True):
        OTHERS[change](other)
    assert [host.model_fingerprint(other) == changed for other in others] == [name == kind for name in OTHERS]
    # and the clone that it was put on left nothing behind
    assert host.model_fingerprint(tiny.model) == plain


@pytest.mark.parametrize("place, value", [("blocks.0.norm1", 1e-3), ("head.norm", 1e-3), ("blocks.5.norm3", 1e-3)])
def test_a_value_that_was_set_past_patches_changes_it(host, tiny, tree, monkeypatch, place, value):
    plain = host.model_fingerprint(tiny.model)
    monkeypatch.setattr(tree.get_submodule(place), "eps", value)
    assert host.model_fingerprint(tiny.model) != plain


@pytest.mark.parametrize("kind", ["a module", "a value", "the precision"])
def test_what_a_clone_left_behind_on_the_shared_model_does_not_count(host, tiny, model, kind):
    plain = host.model_fingerprint(tiny.model)
    OTHERS[kind](model)
    patched(model, 0.01)
    marked = host.model_fingerprint(model)
    model.patch_model(device_to=torch.device("cpu"))
    try:
        assert host.model_fingerprint(tiny.model) == plain and host.model_fingerprint(model) == marked
    finally:
        model.unpatch_model(device_to=torch.device("cpu"))
    assert host.model_fingerprint(tiny.model) == plain


# -- what has none ----------------------------------------------------------------------------------------------------


def foreign(q, k, v, heads, *more, **options):
    return sys.modules["comfy.ldm.modules.attention"].attention_pytorch(q, k, v, heads, *more, **options)


def replaced_attention(model, patch, function):
    patch.setattr(sys.modules["comfy.ldm.wan.model"], "optimized_attention", function)


def disguised_attention(model, patch):
    """As a decorator makes it, under the name of ComfyUI's own."""
    own = sys.modules["comfy.ldm.wan.model"].optimized_attention

    @functools.wraps(own)
    def attend(*values, **options):
        return foreign(*values, **options)

    replaced_attention(model, patch, attend)


def forward_on(model, patch, place):
    module = model.model.diffusion_model.get_submodule(place)
    patch.setitem(vars(module), "forward", lambda *a, **k: type(module).forward(module, *a, **k))


def hook_on(model, patch, place):
    handle = model.model.diffusion_model.get_submodule(place).register_forward_hook(lambda *_: None)
    patch.callback(handle.remove)


def class_forward(model, patch, kind):
    own = kind.forward
    patch.setattr(kind, "forward", lambda self, x: own(self, x) * 2)


def override(model, patch):
    model.model_options["transformer_options"]["optimized_attention_override"] = lambda f, *a, **k: f(*a, **k)


def patch_with(model, patch, place, value):
    model.add_object_patch(place, value)


def global_hook(model, patch):
    patch.callback(nn.modules.module.register_module_forward_hook(lambda *_: None).remove)


UNKNOWN = {
    "an attention": lambda m, p: replaced_attention(m, p, foreign),
    "an attention in disguise": disguised_attention,
    "a part of an attention": lambda m, p: replaced_attention(m, p, functools.partial(foreign)),
    "an override": override,
    "a cross-attention": lambda m, p: patch_with(m, p, "diffusion_model.blocks.0.cross_attn.forward", bent),
    "a cross-attention past patches": lambda m, p: forward_on(m, p, "blocks.0.cross_attn"),
    "a forward": lambda m, p: forward_on(m, p, "blocks.0.ffn.0"),
    "a forward hook": lambda m, p: hook_on(m, p, "blocks.0.self_attn.q"),
    "a hook on all modules": global_hook,
    "a class's forward": lambda m, p: class_forward(m, p, type(m.model.diffusion_model.head.head)),
    "a torch class's forward": lambda m, p: class_forward(m, p, nn.GELU),
    "a module with code in it": lambda m, p: patch_with(
        m, p, FFN, Doubled(m.model.diffusion_model.blocks[0].ffn, more=bent)
    ),
    "a module with an object in it": lambda m, p: patch_with(
        m, p, FFN, Doubled(m.model.diffusion_model.blocks[0].ffn, more=object())
    ),
    "an injection": lambda m, p: m.set_injections("pack", [object()]),
}


class Patch:
    """A monkeypatch that can call functions back."""

    def __init__(self, patch):
        self.setattr, self.setitem = patch.setattr, patch.setitem
        self.called = []

    def callback(self, then):
        self.called.append(then)


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_cannot_be_told_apart_has_none(host, tiny, model, kind, monkeypatch):
    patch = Patch(monkeypatch)
    try:
        UNKNOWN[kind](model, patch)
        with pytest.raises(host.UnknownKindError) as raised:
            host.model_fingerprint(model)
        assert len(str(raised.value)) < 200 and "\n" not in str(raised.value)
    finally:
        for undo in patch.called:
            undo()


# -- what changes nothing ---------------------------------------------------------------------------------------------


NOTHING = {
    "a forward of a block, which a stream does not call": lambda m, p: forward_on(m, p, "blocks.0"),
    "a self-attention's forward": lambda m, p: forward_on(m, p, "blocks.0.self_attn"),
    "a hook on a block": lambda m, p: hook_on(m, p, "blocks.0"),
    "a wrapper": lambda m, p: m.set_model_unet_function_wrapper(lambda apply, args: apply),
    "an object patch at what is not called": lambda m, p: patch_with(m, p, "diffusion_model.rope_embedder", nn.GELU()),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_what_a_stream_does_not_use_changes_nothing(host, tiny, model, kind, monkeypatch):
    plain = host.model_fingerprint(tiny.model)
    patch = Patch(monkeypatch)
    try:
        NOTHING[kind](model, patch)
        assert host.model_fingerprint(model) == plain
    finally:
        for undo in patch.called:
            undo()


def test_a_run_with_another_attention_takes_up_nothing(tiny, stream, monkeypatch, tmp_path):
    monkeypatch.setattr(tiny.nodes.host, "moments_folder", lambda: tmp_path / "moments")
    small = {"width": 32, "height": 32, "steps": "1000", "length": 45, "keep_moments_gb": 1.0}
    stream(**small)
    monkeypatch.setattr(sys.modules["comfy.ldm.wan.model"], "optimized_attention", foreign)
    *_, report = stream(**small)
    assert report["resumed_from"] is None and report["rendered_from"]["chunk"] == 0
    (told,) = report["kept"]["told"]
    assert "no moments are kept" in told and "attention" in told


# -- hooks and the VAE ------------------------------------------------------------------------------------------------


def test_every_number_of_a_lora_hook_counts(host, tiny):
    import comfy.hooks

    def of(place, strength=1.0):
        weight = torch.zeros(100, 1000)
        weight.view(-1)[place] = 1.0
        hook = comfy.hooks.WeightHook(strength_model=strength)
        hook.weights = {WEIGHT: ("diff", (weight,))}
        group = comfy.hooks.HookGroup()
        group.add(hook)
        hooked, _ = tiny.nodes.host.honoured.weights.read_hooks(group)
        return host.hooks_fingerprint(hooked)

    assert of(1) == of(1) and len({of(1), of(2), of(99_999), of(1, 0.5)}) == 4


def test_the_vae_counts_with_its_code_and_values(host, tiny, monkeypatch):
    plain = host.vae_fingerprint(tiny.vae)
    network = tiny.vae.first_stage_model
    assert host.vae_fingerprint(tiny.vae) == plain
    with monkeypatch.context() as patch:
        patch.setattr(network.decoder.middle[0].residual[0], "scale", 3.0)
        assert host.vae_fingerprint(tiny.vae) != plain
    for owner, name, value in ((network.conv2, "forward", bent), (tiny.vae, "process_output", bent)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            with pytest.raises(host.UnknownKindError):
                host.vae_fingerprint(tiny.vae)
    assert host.vae_fingerprint(tiny.vae) == plain
