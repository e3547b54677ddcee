"""Files of every kind in the true shapes and names of its weights, without their numbers: read, sized, and told "
"apart."""

from __future__ import annotations

import pytest
import torch

from memflow_core.config import ModelConfig
from memflow_core.model import WanModel
from memflow_core.profiles import Signs, pick
from memflow_core.weights import generator, read_generator

SMALL = ModelConfig(dim=1536, num_heads=12, num_layers=30, ffn_dim=8960, text_dim=4096)
GROUPED = ModelConfig(
    dim=3072, num_heads=24, num_layers=30, ffn_dim=14336, text_dim=4096, in_channels=48, out_channels=48
)
LARGE = ModelConfig(dim=5120, num_heads=40, num_layers=40, ffn_dim=13824, text_dim=4096)
FILES = {
    "self_forcing_dmd.pt": (SMALL, ("generator", "generator_ema"), "Self-Forcing"),
    "framewise-2step.pt": (SMALL, ("generator", "generator_ema"), "Causal Forcing++, frame-wise, 2 steps"),
    "rewardforcing.pt": (SMALL, ("generator_ema",), "Reward Forcing"),
    "cmgrpo_raven_merge.pt": (SMALL, ("",), "RAVEN"),
    "krea-realtime-video-14b.pt": (LARGE, ("",), "Krea Realtime 14B"),
    "model_bf16.pt": (GROUPED, ("generator",), "LongLive 2"),
}


def content_of(config: ModelConfig, groups: tuple[str, ...]) -> dict:
    """A checkpoint that takes no room: one number in the place of all."""
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in WanModel(config).state_dict().items()}
    zero = torch.zeros(1, dtype=torch.bfloat16)
    plain = {key: zero.expand(shape) for key, shape in shapes.items()}
    if groups == ("",):
        return plain
    return {group: {f"model.{key}": tensor for key, tensor in plain.items()} for group in groups}


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_true_shapes_is_read_and_gets_its_profile(name, tmp_path, monkeypatch):
    # a file that repeats one number is refused for that, and one of the true size takes gigabytes
    monkeypatch.setattr(generator, "check_finite", lambda *_: None)
    config, groups, profile = FILES[name]
    torch.save(content_of(config, groups), tmp_path / name)
    picked_by_name = pick(Signs(name, dim=config.dim, channels=config.in_channels)).profile
    read = read_generator(tmp_path / name, averaged=picked_by_name.averaged)
    assert read.config == config
    assert read.source == ("generator_ema" if picked_by_name.averaged else groups[0])
    assert pick(Signs(name, read.metadata, read.config.dim, read.config.in_channels)).profile.name == profile


def test_the_average_comes_first_only_where_it_is_asked_for(tmp_path):
    tree = WanModel(ModelConfig(dim=128, num_heads=1, num_layers=1, ffn_dim=16, text_dim=8, freq_dim=16))
    plain = {key: tensor.detach().clone() for key, tensor in tree.state_dict().items()}
    averaged = {f"model._fsdp_wrapped_module.{key}": tensor + 1 for key, tensor in plain.items()}
    torch.save({"generator": plain, "generator_ema": averaged}, tmp_path / "both.pt")
    torch.save({"generator": plain}, tmp_path / "one.pt")
    assert read_generator(tmp_path / "both.pt").source == "generator"
    assert read_generator(tmp_path / "both.pt", averaged=True).source == "generator_ema"
    assert read_generator(tmp_path / "one.pt", averaged=True).source == "generator"
    assert read_generator(tmp_path / "both.pt", "generator", averaged=True).source == "generator"
