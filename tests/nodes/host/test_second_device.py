"""ComfyUI's nodes that choose a device work with our MODEL, VAE and CLIP, and nothing is moved that the user placed.

The second device is the meta device here, which has no numbers: what ComfyUI makes for it is looked at, then brought
to the CPU and run. `test_two_gpus.py` runs on two GPUs.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

SECOND = torch.device("meta")
CPU = torch.device("cpu")


@pytest.fixture
def select(pack):
    """The module of ComfyUI's nodes that choose a device."""
    from comfy_extras import nodes_multigpu

    return nodes_multigpu


@pytest.fixture
def second(pack, monkeypatch):
    """ComfyUI finds a second device, which its nodes list as gpu:1."""
    import comfy.model_management as management

    monkeypatch.setattr(management, "get_all_torch_devices", lambda *_, **__: [CPU, SECOND])
    return SECOND


def on_cpu(patcher):
    """The same patcher with its load device on the CPU, so that it can be run."""
    patcher.load_device = CPU
    return patcher


def numbers(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    # in float32, since float8 cannot be compared
    return {name: tensor.detach().cpu().float() for name, tensor in module.state_dict().items()}


def assert_a_copy(chosen, original) -> None:
    """Weights of its own, equal to the loader's."""
    assert chosen.model is not original.model
    ours, theirs = numbers(original.model), numbers(chosen.model)
    assert ours.keys() == theirs.keys() and len(ours) > 10
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    # both are held, or what one makes for the occasion could lie where the other had it
    held = [each.model.state_dict() for each in (original, chosen)]
    pointers = [{tensor.data_ptr() for tensor in state.values()} - {0} for state in held]
    assert not pointers[0] & pointers[1]


def test_select_model_device_gives_the_same_story_from_weights_of_its_own(tiny, second, select):
    (model,) = select.SelectModelDeviceNode.execute(tiny.model, "gpu:1").result
    assert model.load_device == second and tiny.model.load_device == CPU
    assert_a_copy(model, tiny.model)
    assert torch.equal(tiny.sample(model=on_cpu(model))[0], tiny.sample()[0])


def test_select_vae_device_decodes_the_same_pictures(tiny, second, stream, written, select):
    (vae,) = select.SelectVAEDeviceNode.execute(tiny.vae, "gpu:1").result
    assert vae.device == second and tiny.vae.device == CPU
    assert_a_copy(vae.patcher, tiny.vae.patcher)
    assert vae.first_stage_model is vae.patcher.model
    on_cpu(vae.patcher)
    vae.device = CPU
    stream(vae=vae)
    chosen = torch.cat(written)
    written.clear()
    stream()
    assert torch.equal(chosen, torch.cat(written))


def test_select_clip_device_encodes_the_same_prompts(tiny, second, select):
    (clip,) = select.SelectCLIPDeviceNode.execute(tiny.clip, "gpu:1").result
    assert clip.patcher.load_device == second and tiny.clip.patcher.load_device == CPU
    assert_a_copy(clip.patcher, tiny.clip.patcher)
    on_cpu(clip.patcher)
    ours, theirs = (tiny.nodes.host.encode(each, ["a robot walks in the meadow"])[0] for each in (tiny.clip, clip))
    assert torch.equal(ours.embedding, theirs.embedding)


def test_prompts_are_encoded_where_comfyui_says(tiny, second):
    """Also where the weights that ComfyUI loaded are not those that it calls, as behind Select CLIP Device."""
    encoder = tiny.clip.cond_stage_model
    encoder.set_clip_options({"execution_device": second})
    made = []
    hook = encoder.encoder.norm.register_forward_hook(lambda _, __, output: made.append(output.device))
    with pytest.raises(NotImplementedError):
        # a tensor without numbers cannot leave its device
        encoder.encode_token_weights(tiny.clip.tokenize("a cat"))
    hook.remove()
    encoder.reset_clip_options()
    assert made == [second]
    assert {parameter.device for parameter in encoder.parameters()} == {CPU}


@pytest.mark.parametrize("device", ["default", "cpu", "gpu:9"])
def test_other_choices_give_the_same_story(tiny, second, device, select):
    (model,) = select.SelectModelDeviceNode.execute(tiny.model, device).result
    (clip,) = select.SelectCLIPDeviceNode.execute(tiny.clip, device).result
    assert model.load_device == clip.patcher.load_device == CPU
    assert torch.equal(tiny.sample(model=model)[0], tiny.sample()[0])


def made_again(patcher, **options):
    factory, arguments = patcher.cached_patcher_init
    return factory(*arguments, **options)


def test_every_part_can_be_made_without_dynamic_memory(tiny):
    """As Torch Compile Model asks for where ComfyUI fetches weights when they are needed."""
    import comfy.model_patcher

    for patcher in (tiny.model, tiny.clip.patcher, tiny.vae.patcher):
        again = made_again(patcher, disable_dynamic=True)
        assert_a_copy(again, patcher)
    assert type(made_again(tiny.model, disable_dynamic=True)) is comfy.model_patcher.ModelPatcher


# -- MemFlow Load Model -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(pack, generator_file, tmp_path_factory):
    """The tiny generator and a LoRA, in ComfyUI's folders."""
    import folder_paths
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("second device")
    for kind in ("diffusion_models", "loras"):
        folder_paths.add_model_folder_path(kind, str(folder))
    weights, random = load_file(generator_file), torch.Generator().manual_seed(5)
    torch.save({"generator": weights}, folder / "second_device.pt")
    rows, columns = weights["blocks.0.self_attn.q.weight"].shape
    name = "base_model.model.blocks.0.self_attn.q.lora_{}.default.weight"
    halves = {"A": torch.randn(4, columns, generator=random) / 8, "B": torch.randn(rows, 4, generator=random) / 8}
    save_file({name.format(half): tensor for half, tensor in halves.items()}, folder / "second_device_lora.safetensors")
    return folder


@pytest.mark.parametrize("lora", ["none", "second_device_lora.safetensors"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp8"])
def test_a_loaded_model_goes_to_another_device_with_its_lora_and_precision(tiny, files, second, lora, dtype, select):
    settings = {"lora_strength": 1.0, "lora_alpha": 0.0, "weights": "auto", "weight_dtype": dtype}
    node = tiny.nodes.loaders.MemFlowLoadModel
    original = node.execute(model_name="second_device.pt", lora_name=lora, **settings).result[0]
    (chosen,) = select.SelectModelDeviceNode.execute(original, "gpu:1").result
    assert chosen.load_device == second
    assert_a_copy(chosen, original)
    # in FP8 the LoRA is in the weights already
    assert chosen.patches.keys() == original.patches.keys()
    assert bool(original.patches) == (lora != "none" and dtype != "fp8")
    assert torch.equal(tiny.sample(model=on_cpu(chosen), length=12)[0], tiny.sample(model=original, length=12)[0])


# -- MemFlow Load Control ---------------------------------------------------------------------------------------------


@pytest.fixture
def steered(tiny, files):
    """The tiny model with control weights beside it, and a control that steers all of a story."""
    from safetensors.torch import save_file

    from memflow_core.config import ModelConfig
    from memflow_core.model import WanControl

    torch.manual_seed(8)
    first = tiny.model.model.diffusion_model.blocks[0]
    dim, ffn_dim = first.modulation.shape[-1], first.ffn[0].out_features
    config = ModelConfig(dim=dim, num_heads=first.self_attn.num_heads, num_layers=1, ffn_dim=ffn_dim, text_dim=dim)
    weights = {name: tensor.detach().clone() for name, tensor in WanControl(config, 1, 96).state_dict().items()}
    save_file(weights, files / "second_device_control.safetensors")
    nodes = tiny.nodes.control
    model = nodes.MemFlowLoadControl.execute(tiny.model, "second_device_control.safetensors").result[0]
    pictures = torch.rand(60, 64, 64, 3, generator=torch.Generator().manual_seed(2))
    return model, nodes.MemFlowControl.execute(tiny.vae, pictures, 1.0, "0s", "", "steer").result[0]


def test_control_weights_go_to_another_device_with_their_model(tiny, steered, second, select):
    original, control = steered
    (chosen,) = select.SelectModelDeviceNode.execute(original, "gpu:1").result
    ours, theirs = (tiny.nodes.host.control_of(model) for model in (original, chosen))
    assert theirs.load_device == second and ours.load_device == CPU
    assert_a_copy(theirs, ours)
    on_cpu(theirs)
    expected = tiny.sample(model=original, control=control)[0]
    assert torch.equal(tiny.sample(model=on_cpu(chosen), control=control)[0], expected)
    assert not torch.equal(expected, tiny.sample()[0])


def test_control_weights_can_be_made_without_dynamic_memory(tiny, steered):
    import comfy.model_patcher

    original, control = steered
    ours = tiny.nodes.host.control_of(original)
    again = made_again(ours, disable_dynamic=True)
    assert_a_copy(again, ours)
    assert type(again) is comfy.model_patcher.ModelPatcher
    # and once more from the copy, as of a model that was already made so
    assert_a_copy(made_again(again), ours)
    plain = original.clone(disable_dynamic=True)
    assert torch.equal(*(tiny.sample(model=model, control=control)[0] for model in (plain, original)))


# -- two devices at once ----------------------------------------------------------------------------------------------


def test_room_is_made_on_the_models_device_alone(tiny, monkeypatch):
    """What the user put on the VAE's device is not asked to leave for the model's sake."""
    import copy

    import comfy.model_management as management

    asked = []

    def load(models, memory_required=0):
        asked.append((models, memory_required))

    monkeypatch.setattr(management, "load_models_gpu", load)
    vae = copy.copy(tiny.vae)
    vae.patcher = vae.patcher.clone()
    shape = (1, 16, 3, 8, 8)
    with tiny.nodes.host.sampling(tiny.model, shape, 10**9, vae):
        pass
    ((together, _),) = asked
    assert together == [tiny.model, vae.patcher]
    asked.clear()
    vae.patcher.load_device = SECOND
    with tiny.nodes.host.sampling(tiny.model, shape, 10**9, vae):
        pass
    (first, needed), (second, least) = asked
    assert (first, second) == ([tiny.model], [vae.patcher]) and needed >= 10**9 and least == 0


def test_a_vae_elsewhere_takes_nothing_of_the_models_device(tiny):
    import copy

    nodes = tiny.nodes
    request = nodes.run.request.Request(
        tiny.model, tiny.schedule(), seed=7, width=64, height=64, length=45, fps=16.0, steps="1000, 500", shift=5.0
    )
    plan = nodes.run.request.prepare(request)
    vae = copy.copy(tiny.vae)
    here, alone = (nodes.run.estimate.estimate_run(request, plan, each) for each in (vae, None))
    vae.device = SECOND
    there = nodes.run.estimate.estimate_run(request, plan, vae)
    assert there.device_bytes == alone.device_bytes < here.device_bytes
    assert there.fixed_bytes == alone.fixed_bytes < here.fixed_bytes
    assert there.ram_bytes == here.ram_bytes
    line = nodes.run.plan_text.plan_json(there)["lines"][2]
    taken = nodes.run.plan_text.in_gb(there.decode.device_bytes)
    assert line.endswith(f"; the VAE takes {taken} of another device.")
    beside = replace(there, decode=replace(there.decode, beside=True))
    assert beside.within(1) == beside, "a decode after the sampling would free nothing on the model's device"


# -- the decode's stream, with CUDA's part played by a stub -----------------------------------------------------------


class Cuda:
    """Streams and current streams of CUDA devices, and what happens in order."""

    def __init__(self) -> None:
        self.happened: list[tuple] = []
        self.current = {0: "sampler", 1: "first of gpu 1"}

    def Stream(self, device):
        return FakeStream(self, "abc"[len([what for what, *_ in self.happened if what == "made"])], device)

    def current_stream(self, device):
        return self.current[device.index or 0]

    @contextmanager
    def stream(self, stream):
        index = stream.device.index or 0
        before = self.current[index]
        self.current[index] = stream
        yield
        self.current[index] = before


class FakeStream:
    def __init__(self, cuda: Cuda, name: str, device: torch.device):
        self.cuda, self.name, self.device = cuda, name, device
        cuda.happened.append(("made", name, device.index))

    def wait_stream(self, other) -> None:
        self.cuda.happened.append(("waits", self.name, getattr(other, "name", other)))


class FakeLatents:
    def __init__(self, cuda: Cuda, device: torch.device):
        self.cuda, self.device = cuda, device

    def record_stream(self, stream) -> None:
        self.cuda.happened.append(("recorded", self.device.index, stream.name))

    def to(self, device, non_blocking=False):
        streams = [getattr(stream, "name", stream) for stream in self.cuda.current.values()]
        self.cuda.happened.append(("copied", *streams, non_blocking))
        return FakeLatents(self.cuda, device)


class Patcher:
    """A model that ComfyUI keeps in RAM, in part."""

    def __init__(self, device: torch.device):
        self.load_device = self.device = device
        self.patcher = self

    def is_dynamic(self) -> bool:
        return False

    def loaded_size(self) -> int:
        return 1

    def model_size(self) -> int:
        return 2


@pytest.fixture
def cuda(tiny, monkeypatch) -> Cuda:
    cuda = Cuda()
    for name in ("Stream", "current_stream", "stream"):
        monkeypatch.setattr(torch.cuda, name, getattr(cuda, name))
    return cuda


def test_between_two_gpus_latents_go_by_a_stream_of_their_own(tiny, cuda):
    """The decode (a) waits for what was sampled and for the copy (b); the sampler waits for neither."""
    first, second = torch.device("cuda", 0), torch.device("cuda", 1)
    side, seen = tiny.nodes.host.SideStream(Patcher(first), Patcher(second)), []
    side.run(lambda latents: seen.append((latents.device, cuda.current[1].name)), FakeLatents(cuda, first))
    assert cuda.happened == [
        ("made", "a", 1),
        ("made", "b", 0),
        ("waits", "b", "sampler"),
        ("copied", "b", "a", True),
        ("recorded", 0, "b"),
        ("waits", "a", "sampler"),
        ("recorded", 1, "a"),
    ]
    assert seen == [(second, "a")] and side.overlapped == 1


def test_on_one_gpu_the_sampler_waits_where_weights_are_fetched(tiny, cuda, monkeypatch):
    first, waited = torch.device("cuda", 0), []
    cuda.current[0] = FakeStream(cuda, "sampler", first)
    monkeypatch.setattr(FakeStream, "wait_stream", lambda self, other: waited.append((self.name, other.name)))
    side = tiny.nodes.host.SideStream(Patcher(first), Patcher(torch.device("cuda")))
    side.run(lambda latents: None, FakeLatents(cuda, first))
    assert waited == [("b", "sampler"), ("sampler", "b")] and side.overlapped == 0
