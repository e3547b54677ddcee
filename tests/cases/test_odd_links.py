"""Odd things on MODEL and CONDITIONING links: weights of another size, code on modules, and what is no prompt."""

from __future__ import annotations

import types

import pytest
import torch

from tests.cases.graphs import lora_of

NOT_USED = "is not used: the video is made as if it were not there."


# -- weights of another size ------------------------------------------------------------------------------------------


def load(model, lora):
    import comfy.sd

    return comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)[0]


def wider(name: str, part: torch.Tensor) -> torch.Tensor:
    """A part of a LoRA for a model that is one column wider."""
    return torch.cat((part, part[:, :1]), dim=1) if ".lora_A." in name else part


def test_a_lora_of_another_size_is_told(graphs):
    lora = {name: wider(name, part) for name, part in lora_of(graphs.tiny.model).items()}
    made, told = graphs.run(load(graphs.tiny.model, lora))
    count = len(lora) // 2
    assert torch.equal(made, graphs.plain)
    assert told == [f"a LoRA of other sizes than the model's, for {count} of {count} weights {NOT_USED}"]


def test_some_weights_of_another_size_are_counted(graphs):
    lora = lora_of(graphs.tiny.model)
    odd = next(name for name in lora if ".lora_A." in name)
    made, told = graphs.run(load(graphs.tiny.model, lora | {odd: wider(odd, lora[odd])}))
    assert not torch.equal(made, graphs.plain)
    assert told == [f"a LoRA of other sizes than the model's, for 1 of {len(lora) // 2} weights {NOT_USED}"]


def test_a_difference_of_another_size_is_told(graphs):
    key = "diffusion_model.blocks.0.self_attn.q.weight"
    model = graphs.tiny.model.clone()
    model.add_patches({key: ("diff", (torch.ones(3, 5),))}, 1.0)
    assert graphs.run(model)[1] == [f"a LoRA of other sizes than the model's, for 1 of 1 weights {NOT_USED}"]


def test_a_lora_that_fits_is_not_told(graphs):
    assert graphs.run(load(graphs.tiny.model, lora_of(graphs.tiny.model)))[1] == []


def adapters(rows: int, columns: int) -> dict[str, dict[str, torch.Tensor]]:
    """Parts of a file for one matrix, of each kind that people train besides LoRA."""
    made = lambda *shape: torch.randn(shape, generator=torch.Generator().manual_seed(5)) / 8  # noqa: E731
    return {
        "loha": {
            "hada_w1_a": made(rows, 2),
            "hada_w1_b": made(2, columns),
            "hada_w2_a": made(rows, 2),
            "hada_w2_b": made(2, columns),
        },
        "lokr": {
            "lokr_w1": made(2, 2),
            "lokr_w2_a": made(rows // 2, 2),
            "lokr_w2_b": made(2, columns // 2),
            "alpha": torch.tensor(2.0),
        },
        "glora": {
            "a1.weight": made(2, columns),
            "a2.weight": made(columns, 2),
            "b1.weight": made(2, columns),
            "b2.weight": made(rows, 2),
        },
        "oft": {"oft_blocks": made(rows // 4, 4, 4), "alpha": torch.tensor(1.0)},
        "boft": {"oft_blocks": made(2, rows // 4, 4, 4), "alpha": torch.tensor(1.0)},
        "dora": {"lora_A.weight": made(2, columns), "lora_B.weight": made(rows, 2), "dora_scale": made(rows, 1) + 1},
    }


KINDS = list(adapters(8, 8))


def adapted(graphs, kind: str, more: int) -> dict[str, torch.Tensor]:
    """A file of that kind for the value matrices of all blocks, `more` rows and columns too large."""
    made = {}
    for name, weight in graphs.tiny.model.model.state_dict().items():
        if name.endswith("self_attn.v.weight"):
            parts = adapters(weight.shape[0] + more, weight.shape[1] + more)[kind]
            made |= {f"{name.removesuffix('.weight')}.{part}": numbers for part, numbers in parts.items()}
    return made


@pytest.mark.parametrize(("more", "hooked"), [(0, False), (16, False), (16, True)], ids=["fits", "large", "large hook"])
@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_lora_count_or_are_told(graphs, kind, more, hooked):
    import comfy.hooks

    file = adapted(graphs, kind, more)
    if hooked:
        group = comfy.hooks.create_hook_lora(file, 1.0, 0.0)
        made, told = graphs.run(conditioning=comfy.hooks.set_hooks_for_conditioning(graphs.words(), group))
        told = [sentence for sentence in told if not sentence.startswith("LoRA hooks: the model has")]
    else:
        made, told = graphs.run(load(graphs.tiny.model, file))
    blocks = len({name.split(".")[2] for name in file})
    assert torch.equal(made, graphs.plain) == bool(more)
    assert told == (
        [f"a LoRA of other sizes than the model's, for {blocks} of {blocks} weights {NOT_USED}"] * bool(more)
    )


def test_a_hook_lora_of_another_model_is_told(graphs):
    import comfy.hooks

    group = comfy.hooks.create_hook_lora(
        {"down_blocks.0.lora_A.weight": torch.ones(2, 8), "down_blocks.0.lora_B.weight": torch.ones(8, 2)}, 1.0, 0.0
    )
    _, told = graphs.run(conditioning=comfy.hooks.set_hooks_for_conditioning(graphs.words(), group))
    assert f"hooks: a LoRA without weights for this model {NOT_USED}" in told


# -- code on modules --------------------------------------------------------------------------------------------------


def test_code_that_was_taken_back_is_not_told(graphs):
    """ComfyUI leaves a module's own method on it when it takes an object patch back."""
    patched = graphs.tiny.model.clone()
    patched.add_object_patch("diffusion_model.head.forward", lambda *x: x)
    assert graphs.run(patched)[1] == [f"diffusion_model.head.forward {NOT_USED}"]
    assert graphs.run()[1] == []


class Wrapped(torch.nn.Module):
    """A layer around another, as adapters are put around parts of a model."""

    def __init__(self, inner: torch.nn.Module):
        super().__init__()
        self.adapter = inner

    def forward(self, *x, **more):
        return 2 * self.adapter(*x, **more)


def wrapped(graphs, place: str):
    model = graphs.tiny.model.clone()
    model.add_object_patch(f"diffusion_model.{place}", Wrapped(model.get_model_object(f"diffusion_model.{place}")))
    return model


@pytest.mark.parametrize("place", ["blocks.0.ffn", "blocks.1.self_attn.q", "blocks.0.norm3", "head.head"])
def test_a_layer_put_around_another_counts(graphs, place):
    made, told = graphs.run(wrapped(graphs, place))
    assert told == [] and not torch.equal(made, graphs.plain)
    assert torch.equal(graphs.run()[0], graphs.plain)


@pytest.mark.parametrize(
    ("place", "missing"),
    [
        ("blocks.0", "cross_attn"),
        ("blocks.0.self_attn", "k"),
        ("blocks.1.norm1", "eps"),
        ("head.norm", "eps"),
        ("time_embedding", "in_features"),
        ("patch_embedding", "weight"),
    ],
)
def test_a_part_without_what_a_stream_reads_is_refused_before_loading(graphs, place, missing):
    said = f"^{place} of the model is a Wrapped, of which a stream cannot read {missing}: take the node out"
    with pytest.raises(ValueError, match=said):
        graphs.run(wrapped(graphs, place))
    assert torch.equal(graphs.run()[0], graphs.plain)


def test_patches_that_another_clone_left_on_the_model_change_nothing(graphs):
    """ComfyUI takes them back only when it loads the next clone."""
    import comfy.model_management

    left = wrapped(graphs, "blocks.0.self_attn")
    left.add_object_patch("diffusion_model.blocks.1.forward", lambda *x: x)
    comfy.model_management.load_models_gpu([left])
    assert isinstance(graphs.tiny.model.model.diffusion_model.blocks[0].self_attn, Wrapped)
    made, told = graphs.run()
    assert told == [] and torch.equal(made, graphs.plain)


def test_looking_at_a_model_leaves_its_modules_as_they_were(graphs):
    import comfy.model_management

    left, other = wrapped(graphs, "blocks.0.self_attn"), wrapped(graphs, "blocks.1.ffn")
    comfy.model_management.load_models_gpu([left])
    blocks = graphs.tiny.model.model.diffusion_model.blocks
    before = [dict(vars(module)) for module in blocks.modules()]
    graphs.tiny.nodes.host.inspect_model(other)
    assert [dict(vars(module)) for module in blocks.modules()] == before
    assert isinstance(blocks[0].self_attn, Wrapped) and not isinstance(blocks[1].ffn, Wrapped)
    # as long as its patches lie on the model, ComfyUI finds no weights under the places that they cover
    comfy.model_management.unload_all_models()
    assert not isinstance(blocks[0].self_attn, Wrapped)


def test_a_patch_at_a_place_that_does_not_exist_is_refused(graphs):
    model = graphs.tiny.model.clone()
    model.add_object_patch("diffusion_model.blocks.99.ffn", torch.nn.Identity())
    with pytest.raises(ValueError, match=r"^a node puts a Identity at diffusion_model.blocks.99.ffn of the model"):
        graphs.run(model)


def test_an_attribute_that_a_patch_makes_is_told_and_goes_with_it(graphs):
    """As Flux KV Cache puts one on any model."""
    import comfy.model_management

    model = graphs.tiny.model.clone()
    model.add_object_patch("diffusion_model.default_ref_method", "index_timestep_zero")
    told = [f"diffusion_model.default_ref_method {NOT_USED}"]
    for _ in range(2):
        made, said = graphs.run(model)
        assert said == told and torch.equal(made, graphs.plain)
    tree = graphs.tiny.model.model.diffusion_model
    assert tree.default_ref_method and graphs.run()[1] == [] and not hasattr(tree, "default_ref_method")
    graphs.tiny.nodes.host.inspect_model(model)
    assert not hasattr(tree, "default_ref_method")
    comfy.model_management.load_models_gpu([model])
    graphs.tiny.nodes.host.inspect_model(graphs.tiny.model)
    assert tree.default_ref_method == "index_timestep_zero"
    comfy.model_management.unload_all_models()


def test_a_lora_that_sets_weights_of_another_size_is_refused(graphs):
    model = graphs.tiny.model.clone()
    model.add_patches({"diffusion_model.blocks.0.self_attn.q.weight": ("set", (torch.ones(3, 5),))}, 1.0)
    with pytest.raises(ValueError, match=r"^a LoRA sets weights of the shape \[3, 5\] where the model has"):
        graphs.run(model)


# -- past ComfyUI's patches -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reshapes", [True, False])
def test_an_attention_that_a_pack_puts_in_the_place_of_comfyuis_is_called(graphs, monkeypatch, reshapes):
    from comfy.ldm.wan import model as wan

    calls, own = [], wan.optimized_attention

    def attention(q, k, v, heads, mask=None, attn_precision=None, skip_reshape=False):
        calls.append(q.shape)
        return own(q, k, v, heads, skip_reshape=skip_reshape)

    def new(q, k, v, heads, **more):
        calls.append(q.shape)
        return own(q, k, v, heads, **more)

    monkeypatch.setattr(wan, "optimized_attention", attention if reshapes else new)
    made, told = graphs.run()
    assert calls and told == []
    torch.testing.assert_close(made, graphs.plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["WanAttentionBlock", "WanSelfAttention", "WanT2VCrossAttention"])
def test_code_on_comfyuis_classes_is_told(graphs, monkeypatch, name):
    from comfy.ldm.wan import model as wan

    kind = getattr(wan, name)
    monkeypatch.setattr(kind, "forward", lambda *x: x)
    assert f"{name}.forward {NOT_USED}" in graphs.run()[1]


@pytest.mark.parametrize("name", ["apply_model", "extra_conds"])
def test_code_on_comfyuis_model_is_told(graphs, monkeypatch, name):
    monkeypatch.setattr(graphs.tiny.model.model, name, lambda *x: x)
    assert f"{name} {NOT_USED}" in graphs.run()[1]


def test_a_block_of_another_class_is_told(graphs, monkeypatch):
    block = graphs.tiny.model.model.diffusion_model.blocks[0]
    other = type("FastAttention", (type(block.self_attn),), {"__module__": "a_pack"})
    monkeypatch.setattr(block.self_attn, "__class__", other)
    made, told = graphs.run()
    assert f"diffusion_model.blocks.*.self_attn {NOT_USED}" in told and torch.equal(made, graphs.plain)


@pytest.mark.parametrize("place", ["", "head", "blocks.0", "blocks.1.self_attn", "blocks.0.norm1", "blocks.0.norm2"])
@pytest.mark.parametrize("how", ["forward", "hook", "pre hook"])
def test_code_on_a_module_that_a_stream_never_calls_is_told(graphs, place, how):
    module = graphs.tiny.model.model.diffusion_model.get_submodule(place)
    if how == "forward":
        module.forward = types.MethodType(lambda self, *args, **kwargs: None, module)
    else:
        register = module.register_forward_hook if how == "hook" else module.register_forward_pre_hook
        handle = register(lambda *args: None)
    try:
        made, told = graphs.run()
    finally:
        if how == "forward":
            del module.forward
        else:
            handle.remove()
    where = f"diffusion_model.{place}".rstrip(".").replace(".0", ".*").replace(".1", ".*")
    assert told == [f"{where}{'.forward' if how == 'forward' else ': forward hook'} {NOT_USED}"]
    assert torch.equal(made, graphs.plain) and graphs.run()[1] == []


@pytest.mark.parametrize("place", ["blocks.0.self_attn.q", "blocks.0.ffn.0", "patch_embedding", "head.head"])
def test_code_on_a_module_that_a_stream_calls_counts(graphs, place):
    module = graphs.tiny.model.model.diffusion_model.get_submodule(place)
    handle = module.register_forward_hook(lambda module, args, out: out * 1.5)
    try:
        made, told = graphs.run()
    finally:
        handle.remove()
    assert told == [] and not torch.equal(made, graphs.plain)


# -- what is no prompt ------------------------------------------------------------------------------------------------


def changed(graphs, change):
    embedding, options = graphs.words()[0]
    return change(embedding, options)


@pytest.mark.parametrize(
    "change",
    [
        lambda e, o: [[e]],
        lambda e, o: [[e, None]],
        lambda e, o: [(e, {"hooks": None})],
    ],
    ids=["no options", "options of None", "no hooks"],
)
def test_an_entry_may_lack_options(graphs, change):
    made, told = graphs.run(conditioning=changed(graphs, change))
    assert torch.equal(made, graphs.plain) and told == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e, o: e, "is no list, but a value of the kind Tensor"),
        (lambda e, o: None, "is no list, but nothing"),
        (lambda e, o: [], "holds 0 entries"),
        (lambda e, o: [e], "entry is no pair, but a value of the kind Tensor"),
        (lambda e, o: [[]], "entry is no pair"),
        (lambda e, o: [[e, 5]], "options are a value of the kind int"),
        (lambda e, o: [[e, {"hooks": 5}]], "hooks are no group of hooks, but a value of the kind int"),
        (lambda e, o: [["words", o]], "holds no text embedding"),
        (lambda e, o: [[e[0], o]], r"has the shape \[\d+, \d+\], but a prompt's is \[1, length, width\]"),
        (lambda e, o: [[e[None], o]], r"has the shape \[1, 1, \d+, \d+\]"),
        (lambda e, o: [[e[:, :0], o]], r"has the shape \[1, 0, \d+\]"),
        (lambda e, o: [[e > 0, o]], "holds bool numbers"),
        (lambda e, o: [[e.long(), o]], "holds int64 numbers"),
        (lambda e, o: [[e.to(torch.complex64), o]], "holds complex64 numbers"),
        (lambda e, o: [[e.to("meta"), o]], "holds no numbers"),
    ],
)
def test_what_is_no_prompt_is_refused_in_a_sentence(graphs, change, said):
    with pytest.raises(ValueError, match=f"^the conditioning.*{said}"):
        graphs.tiny.nodes.host.read_conditioning(changed(graphs, change))
