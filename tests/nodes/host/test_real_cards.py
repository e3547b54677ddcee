"""What a real card asks for, with stand-ins where there is none: weights that come when they are used, precision,
the choice of attention, and states that nobody reads."""

from __future__ import annotations

import sys
from random import Random
from types import SimpleNamespace

import pytest
import torch

from memflow_core.config import ModelConfig
from memflow_core.model import WanModel

SMALL = ModelConfig(dim=128, num_heads=1, num_layers=2, ffn_dim=256, text_dim=128)


@pytest.fixture
def generator():
    """Weights in float32, as published."""
    torch.manual_seed(0)
    return SimpleNamespace(config=SMALL, state_dict=WanModel(SMALL).state_dict())


@pytest.fixture
def dynamic(pack, monkeypatch):
    """ComfyUI takes its models for such with dynamic VRAM: it assigns a file's tensors, and makes copies anew."""
    import comfy.model_patcher

    class Dynamic(comfy.model_patcher.ModelPatcher):
        def is_dynamic(self):
            return True

    monkeypatch.setattr(comfy.model_patcher, "CoreModelPatcher", Dynamic)


@pytest.fixture
def halves(pack, monkeypatch):
    """A card that computes in float16 and in bfloat16, as all since Ampere."""
    import comfy.model_management as management

    for name in ("should_use_fp16", "should_use_bf16"):
        monkeypatch.setattr(management, name, lambda *_, **__: True)


def test_weights_have_the_precision_that_they_are_loaded_in(tiny, generator, dynamic):
    """Else RAM holds float32, and twice the model's size is told to whoever makes room for it."""
    model = tiny.nodes.host.wan_model(generator, "bf16")
    kinds = {name: tensor.dtype for name, tensor in model.model.diffusion_model.state_dict().items()}
    in_float32 = {name for name, kind in kinds.items() if kind == torch.float32}
    assert in_float32 == {"patch_embedding.weight", "patch_embedding.bias"}
    assert all(kind == torch.bfloat16 for name, kind in kinds.items() if name not in in_float32)
    numbers = sum(tensor.numel() for tensor in generator.state_dict.values())
    assert model.model_size() < 2.2 * numbers
    assert all(tensor.dtype == torch.float32 for tensor in generator.state_dict.values())


def test_the_usual_precision_is_that_of_the_published_weights(tiny, generator, halves):
    host = tiny.nodes.host
    assert host.usual_dtype() == torch.bfloat16
    assert host.dtype_of(host.wan_model(generator, "default")) == torch.bfloat16
    assert host.dtype_of(host.wan_model(generator, "fp16")) == torch.float16
    # a file in float16 stays what its makers chose
    half = SimpleNamespace(config=SMALL, state_dict={k: v.half() for k, v in generator.state_dict.items()})
    assert host.dtype_of(host.wan_model(half, "default")) == torch.float16


@pytest.mark.parametrize("dtype", ["default", "bf16"])
def test_numbers_of_eight_bits_are_not_cast(tiny, generator, dynamic, dtype):
    weights = tiny.nodes.loaders.quantised(generator.state_dict)
    model = tiny.nodes.host.wan_model(SimpleNamespace(config=SMALL, state_dict=weights), dtype)
    ours = model.model.diffusion_model.blocks[0].ffn[0].weight
    exact = generator.state_dict["blocks.0.ffn.0.weight"]
    assert torch.allclose(ours.dequantize().float(), exact, atol=0.07 * float(exact.abs().max()))


@pytest.mark.parametrize("kind", ["made", "shown"])
def test_torch_compile_model_takes_a_model_of_our_loaders_with_dynamic_memory(tiny, generator, dynamic, kind):
    from comfy_extras.nodes_torch_compile import TorchCompileModel

    host = tiny.nodes.host
    model = host.wan_model(generator, "default", lambda: generator)
    if kind == "shown":
        model = tiny.nodes.loaders.MemFlowTinyStory.execute().result[0]
    assert model.is_dynamic()
    (compiled,) = TorchCompileModel.execute(model, "eager").result
    assert not compiled.is_dynamic() and compiled.model is not model.model


class Patcher:
    """A model or VAE of which so many bytes are on the device."""

    def __init__(self, loaded: int, *, is_dynamic: bool):
        self.model = torch.nn.Module()
        for name, numbers in (("encoder", 42), ("conv1", 8), ("conv2", 8), ("decoder", 50)):
            self.model.add_module(name, torch.nn.Linear(numbers, 1, bias=False))
        self._loaded, self._is_dynamic = loaded, is_dynamic

    def is_dynamic(self):
        return self._is_dynamic

    def loaded_size(self):
        return self._loaded

    def model_size(self):
        return 4 * 108


@pytest.mark.parametrize(
    ("is_dynamic", "loaded", "resident"),
    [
        (False, 4 * 108, True),
        (False, 4 * 107, False),
        # conv2 and decoder: a story of words never encodes a picture
        (True, 4 * 58, True),
        (True, 4 * 57, False),
        (True, 4 * 108, True),
    ],
)
def test_a_decode_runs_beside_the_sampling_once_all_that_it_uses_is_there(tiny, is_dynamic, loaded, resident):
    overlap = sys.modules[tiny.nodes.host.SideStream.__module__]
    assert overlap._is_resident(Patcher(loaded, is_dynamic=is_dynamic)) == resident


def test_attention_is_chosen_by_measurement_where_nobody_chose_one(tiny, monkeypatch):
    import comfy.ldm.modules.attention as attention
    import comfy.ldm.wan.model as wan

    dense_of = sys.modules[tiny.nodes.host.attention_of.__module__].dense_of
    monkeypatch.setattr(wan, "optimized_attention", attention.attention_pytorch)
    assert dense_of(tiny.model) == "fastest"
    overridden = tiny.model.clone()
    overridden.model_options["transformer_options"]["optimized_attention_override"] = lambda f, *a, **k: f(*a, **k)
    assert dense_of(overridden) == "own"
    for chosen in (attention.attention_split, lambda *_, **__: None):
        monkeypatch.setattr(wan, "optimized_attention", chosen)
        assert dense_of(tiny.model) == "own"


def test_the_model_that_samples_measures_its_attention(tiny, monkeypatch):
    import comfy.ldm.modules.attention as attention
    import comfy.ldm.wan.model as wan

    monkeypatch.setattr(wan, "optimized_attention", attention.attention_pytorch)
    with tiny.nodes.host.sampling(tiny.model, (1, 16, 3, 8, 8), 0) as backbone:
        assert backbone.dense == "fastest"


@pytest.fixture
def asked(tiny, monkeypatch):
    """asked(graph, node): whether output 1 of a node is read, while ComfyUI runs that node of a graph."""
    client = sys.modules[tiny.nodes.host.Page.__module__]

    def ask(graph, node="5"):
        queue = SimpleNamespace(get_current_queue_volatile=lambda: ([(0, "run", graph, {}, [])], []))
        monkeypatch.setattr(client.PromptServer, "instance", SimpleNamespace(prompt_queue=queue), raising=False)
        monkeypatch.setattr(client, "get_executing_context", lambda: SimpleNamespace(prompt_id="run", node_id=node))
        return tiny.nodes.host.is_output_read(1)

    return ask


def graph_of(*links) -> dict:
    readers = {f"{10 + at}": {"class_type": "Reader", "inputs": {"x": link, "y": 1}} for at, link in enumerate(links)}
    return {"5": {"class_type": "MemFlowSampler", "inputs": {"state": ["4", 1]}}, **readers}


def test_an_output_is_read_where_a_link_starts_at_it(tiny, asked):
    assert asked(graph_of(["5", 1])) and asked(graph_of(["5", 0], ["5", 1]))
    assert not asked(graph_of()) and not asked(graph_of(["5", 0], ["6", 1], ["5", 2]))
    # a node that another made while it ran is in no graph that is known here
    assert asked(graph_of(), node="5.0.1") and asked(None)
    assert tiny.nodes.sampler.MemFlowSampler.fingerprint_inputs(seed=1)


def test_outside_a_run_every_output_is_read(tiny):
    assert tiny.nodes.host.is_output_read(1)


def test_only_what_needs_a_state_is_made_anew_for_it(tiny, asked):
    """Against a cache of ComfyUI's kind, of every result by token and seed: no graph that reads gets one without."""
    host, rng = tiny.nodes.host, Random(3)
    cache: dict[tuple[str, int], bool] = {}
    made = 0
    for _ in range(400):
        reads, seed = rng.random() < 0.5, rng.randrange(3)
        asked(graph_of(["5", 1]) if reads else graph_of())
        token = host.output_token(1)
        assert token == host.output_token(1)
        if (token, seed) not in cache and rng.random() < 0.8:  # else it was cancelled
            cache[token, seed] = reads
            host.note_output(reads)
            made += 1
        assert not reads or cache.get((token, seed), True)
    assert 5 < made < 100


def test_taking_a_link_out_makes_nothing_anew(tiny, asked):
    host = tiny.nodes.host
    asked(graph_of(["5", 1]))
    token = host.output_token(1)
    host.note_output(True)
    asked(graph_of())
    assert host.output_token(1) == token


def test_a_state_that_nobody_reads_is_not_captured(tiny, monkeypatch):
    """It is gigabytes of the device's memory, copied into RAM and held there by ComfyUI."""
    session = sys.modules[f"{tiny.nodes.run.__name__}.session"]
    monkeypatch.setattr(session, "capture", lambda *_: pytest.fail("a state was captured"))
    monkeypatch.setattr(tiny.nodes.host, "is_output_read", lambda index: index != 1)
    latent, state, _ = tiny.sample(length=9)
    assert state is None and latent.shape[2] == 3
    node = tiny.nodes.stream_to_video.MemFlowStreamToVideo.PREPARE_CLASS_CLONE(None)
    made = node.execute(
        model=tiny.model,
        vae=tiny.vae,
        schedule=tiny.schedule(),
        seed=7,
        length=9,
        width=64,
        height=64,
        fps=16.0,
        steps="1000",
        shift=5.0,
        memory=None,
        state=None,
        filename_prefix="unread",
        format="mp4 (h264)",
        quality="high",
        save_output=False,
        keep_moments_gb=0.0,
    )
    assert made.result[1] is None
