"""What other nodes put on MODEL and CONDITIONING, and a stream uses: shift, attention, NAG, LoRA hooks."""

from __future__ import annotations

import sys
import types

import pytest
import torch

from tests.cases.graphs import OTHER, PROMPT, lora_of, with_lora

# -- shift ------------------------------------------------------------------------------------------------------------


def sampling_node(model, name: str, value: float):
    from comfy_extras import nodes_model_advanced as nodes

    method = "patch_aura" if name == "ModelSamplingAuraFlow" else "patch"
    return getattr(getattr(nodes, name)(), method)(model, value)[0]


@pytest.mark.parametrize("name", ["ModelSamplingSD3", "ModelSamplingAuraFlow"])
@pytest.mark.parametrize("shift", [3.0, 8.0, 1.0])
def test_a_nodes_shift_is_used_where_the_widget_is_as_it_was(graphs, name, shift):
    made, told = graphs.run(sampling_node(graphs.tiny.model, name, shift))
    assert torch.equal(made, graphs.run(shift=shift)[0]) and not torch.equal(made, graphs.plain)
    assert told == [f"Shift {shift:g} is used, as {name} says."]


def test_a_widget_that_says_the_same_as_the_node_is_fine_and_another_is_refused(graphs):
    model = sampling_node(graphs.tiny.model, "ModelSamplingSD3", 3.0)
    assert torch.equal(graphs.run(model, shift=3.0)[0], graphs.run(model)[0])
    with pytest.raises(ValueError, match=r"shift is 8, but ModelSamplingSD3 on the model asks for 3"):
        graphs.run(model, shift=8.0)


def test_the_shift_is_that_of_the_state_and_of_the_report(graphs):
    model = sampling_node(graphs.tiny.model, "ModelSamplingSD3", 3.0)
    _, state, _ = graphs.tiny.sample(model=model, length=21, schedule=graphs.segments((0.0, graphs.words())))
    assert state.stream.sampling.shift == 3.0


# -- attention --------------------------------------------------------------------------------------------------------


def nag(model, negative, scale: float, alpha: float = 0.25, tau: float = 2.5):
    """Normalised attention guidance in the way of WanVideoNAG: object patches on the forward of each cross-attention.

    z = scale z+ - (scale - 1) z-, its L1 norm held to tau times that of z+, then alpha z + (1 - alpha) z+ (arXiv
    2505.21179).
    """
    from comfy.ldm.modules.attention import optimized_attention

    model = model.clone()
    tree = model.get_model_object("diffusion_model")
    text = tree.text_embedding(negative[0][0])

    def forward(self, x, context, transformer_options={}, **kwargs):  # noqa: B006
        q = self.norm_q(self.q(x))
        positive, other = (
            optimized_attention(
                q, self.norm_k(self.k(c)), self.v(c), self.num_heads, transformer_options=transformer_options
            )
            for c in (context, text)
        )
        guided = positive * scale - other * (scale - 1)
        size, most = (z.norm(p=1, dim=-1, keepdim=True) for z in (guided, positive))
        guided = guided * (tau * most / size).clamp(max=1)
        return self.o(guided * alpha + positive * (1 - alpha))

    for number, block in enumerate(tree.blocks):
        patch = types.MethodType(forward, block.cross_attn)
        model.add_object_patch(f"diffusion_model.blocks.{number}.cross_attn.forward", patch)
    return model


def test_nag_makes_what_comfyuis_own_forward_makes_with_it(graphs, pack):
    """One step at pure noise: the chunk is the noise less the flow, and there is no memory yet."""
    model = nag(graphs.tiny.model, graphs.words(OTHER), 11.0)
    made, told = graphs.run(model, steps="1000")
    noise = sys.modules[f"{pack.__name__}.memflow_core.stream.noise"].SeededNoise(7)
    x = noise.chunk(0)((1, 16, 3, 8, 8))
    reference = _forward(model, x, graphs.words()[0][0])
    assert (made - model.model.process_latent_out(x - reference)).abs().max() < 5e-5
    assert told == [] and not torch.equal(made, graphs.run(steps="1000")[0])


def _forward(model, x: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
    """ComfyUI's own Wan model on a chunk [1, 16, F, h, w] of pure noise, with the object patches of the model."""
    import comfy.model_management

    comfy.model_management.load_models_gpu([model])
    with torch.inference_mode():
        return model.model.diffusion_model(x, torch.tensor([1000.0]), text)


def test_nag_goes_and_nothing_of_it_stays(graphs):
    assert torch.equal(graphs.run(nag(graphs.tiny.model, graphs.words(OTHER), 1.0))[0], graphs.plain)
    graphs.run(nag(graphs.tiny.model, graphs.words(OTHER), 11.0))
    assert torch.equal(graphs.run()[0], graphs.plain)


def test_an_attention_override_is_told_where_it_is(graphs):
    seen = []

    def override(attention, *args, **kwargs):
        options = kwargs["transformer_options"]
        names = ("block_index", "block_type", "total_blocks", "cond_or_uncond")
        sigma = round(float(options["sigmas"][0]), 4)
        seen.append((sigma, tuple(options["grid_sizes"]), *(options[name] for name in names)))
        assert [round(float(s), 4) for s in options["sample_sigmas"]] == [1.0, 0.8333, 0.0]
        return attention(*args, **kwargs)

    model = graphs.tiny.model.clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = override
    made, told = graphs.run(model)
    layers = len(model.model.diffusion_model.blocks)
    # self- and cross-attention of each block; the context pass ends with the last one's keys
    expected = [
        (sigma, (3, 4, 4), layer, "double", layers, [0])
        for sigma in (1.0, 0.8333, 0.0)
        for layer in range(layers - (sigma == 0))
        for _ in range(2)
    ]
    assert seen == expected
    assert torch.equal(made, graphs.plain) and told == []
    assert "block_index" not in model.model_options["transformer_options"], "the model's own options were written to"


# -- LoRA hooks -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hooked(graphs):
    """hooked(text, strength, keyframes): a CONDITIONING with a LoRA hook."""
    import comfy.hooks

    lora = lora_of(graphs.tiny.model)

    def make(text: str = PROMPT, strength: float = 1.0, keyframes: tuple = ()):
        group = comfy.hooks.create_hook_lora(lora, strength, 0.0)
        if keyframes:
            frames = comfy.hooks.HookKeyframeGroup()
            for start, factor in keyframes:
                frames.add(comfy.hooks.HookKeyframe(factor, start_percent=start))
            group.set_keyframes_on_hooks(frames)
        return comfy.hooks.set_hooks_for_conditioning(graphs.words(text), group)

    return make


HOOKS = "LoRA hooks: the model has a prompt's own weights from where that prompt starts."


@pytest.mark.parametrize("keyframes", [(), ((0.0, 0.5),)], ids=["plain", "one keyframe"])
def test_a_hook_on_every_prompt_is_a_lora_on_the_model(graphs, hooked, keyframes):
    strength = keyframes[0][1] if keyframes else 1.0
    made, told = graphs.run(conditioning=hooked(keyframes=keyframes))
    assert torch.equal(made, graphs.run(with_lora(graphs.tiny.model, strength))[0])
    assert told == [HOOKS] and not torch.equal(made, graphs.plain)
    assert torch.equal(graphs.run()[0], graphs.plain), "the weights stayed"


def test_a_hook_holds_for_its_segment(graphs, hooked):
    plain = graphs.segments((0.0, graphs.words()), (0.75, graphs.words(OTHER)), (1.5, graphs.words()))
    mixed = graphs.segments((0.0, graphs.words()), (0.75, hooked(OTHER)), (1.5, graphs.words()))
    a, b = (graphs.run(schedule=schedule, length=45)[0] for schedule in (plain, mixed))
    chunks = [torch.equal(x, y) for x, y in zip(a.split(3, dim=2), b.split(3, dim=2), strict=True)]
    # asked for at 0.75 and 1.5 s, which are the starts of the third and the fourth chunk
    assert chunks == [True, True, False, False]


@pytest.mark.parametrize("content", ["exact", "compact"])
def test_a_state_made_under_hooks_goes_on_and_says_when_it_cannot(graphs, hooked, content):
    schedule = graphs.segments((0.0, graphs.words()), (0.75, hooked(OTHER)))
    story = {"schedule": schedule, "memory": graphs.tiny.memory(retrieval="none"), "steps": "1000"}
    whole, _ = graphs.run(**story, length=57)
    head, state, _ = graphs.tiny.sample(**story, length=33)
    if content == "compact":
        state = type(state)(state.stream.compact())
    rest, told = graphs.run(**story, length=24, state=state)
    assert (torch.cat((head, rest), dim=2) - whole).abs().max() < 1e-4
    assert told == [HOOKS]
    bare = graphs.segments((0.0, graphs.words()), (0.75, graphs.words(OTHER)))
    rest, told = graphs.run(**story | {"schedule": bare}, length=24, state=state)
    assert told == ["The state was made under LoRA hooks that the schedule lacks: it goes on without them."]


def test_hooks_of_a_text_encoder_reach_the_model(graphs, hooked):
    clip = graphs.tiny.clip.clone()
    clip.apply_hooks_to_conds = hooked()[0][1]["hooks"]
    schedule = graphs.tiny.nodes.prompts.MemFlowPromptSchedule.execute(clip, f"0s: {PROMPT}", "").result[0]
    assert torch.equal(graphs.run(schedule=schedule)[0], graphs.run(conditioning=hooked())[0])


def test_what_of_a_hook_cannot_be_is_told(graphs, hooked):
    import comfy.hooks

    _, told = graphs.run(conditioning=hooked(keyframes=((0.0, 1.0), (0.5, 0.2))))
    assert told[1:] == [
        "Set Hook Keyframes (hooks: keyframes) changes a strength from step to step: a stream keeps the first one."
    ]
    group = comfy.hooks.HookGroup()
    group.add(comfy.hooks.TransformerOptionsHook({"patches": {}}))
    _, told = graphs.run(conditioning=comfy.hooks.set_hooks_for_conditioning(graphs.words(), group))
    assert told == ["hooks: transformer options is not used: the video is made as if it were not there."]
