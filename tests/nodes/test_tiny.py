"""The bundled tiny story model: its three parts in ComfyUI's own nodes, and how its files are made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from memflow_core import tiny_story
from memflow_core.tiny_text import METADATA_KEY, TextConfig, TextEncoder, read_text_encoder
from tools import make_tiny_model

PROMPT = "a red robot walks across the meadow"


@pytest.fixture
def encode(tiny):
    """encode(text) -> embedding, through ComfyUI's CLIP Text Encode."""
    from nodes import CLIPTextEncode

    return lambda text: CLIPTextEncode().encode(tiny.clip, text)[0][0][0]


def test_a_prompt_becomes_a_row_for_each_word_and_zeros(encode):
    embedding = encode(PROMPT)
    assert embedding.shape == (1, 32, 64)
    assert embedding.dtype == torch.float32
    words_and_end = len(PROMPT.split()) + 1
    used = embedding[0].abs().amax(dim=-1) > 0
    assert used.tolist() == [True] * words_and_end + [False] * (32 - words_and_end)


def test_each_word_matters_but_case_and_punctuation_do_not(encode):
    embedding = encode(PROMPT)
    assert torch.equal(embedding, encode("A red robot, walks ACROSS the meadow!"))
    for other in ("a blue robot walks across the meadow", "a red robot walks across the beach", "red a robot walks"):
        assert not torch.allclose(embedding, encode(other), atol=0.1)


def test_an_empty_prompt_is_a_prompt(encode):
    embedding = encode("")
    assert embedding.shape == (1, 32, 64)
    assert embedding[0, 0].abs().sum() > 0
    assert not torch.allclose(embedding, encode(PROMPT))


def test_a_weighted_word_counts_for_more(encode):
    plain, weighted = encode("a red robot"), encode("a (red:1.5) robot")
    assert torch.allclose(weighted[0, 1], 1.5 * plain[0, 1])
    assert torch.equal(weighted[0, [0, 2, 3]], plain[0, [0, 2, 3]])


def test_unknown_words_are_named_with_the_closest_known(encode):
    with pytest.raises(ValueError) as error:
        encode("a robott rides a (zeppelin:1.2) in the meadow")
    message = str(error.value)
    assert "'robott' (did you mean 'robot'?)" in message
    assert "'zeppelin'" in message
    assert "'meadow'" not in message


def test_a_prompt_that_is_too_long_is_refused(encode):
    assert encode(" ".join(["robot"] * 31))[0].abs().amax(dim=-1).all()
    with pytest.raises(ValueError, match="32 words.*at most 31"):
        encode(" ".join(["robot"] * 32))


def test_a_cloned_clip_reads_as_the_first(tiny, encode):
    clone = tiny.clip.clone()
    assert torch.equal(clone.encode(PROMPT), encode(PROMPT))
    assert set(tiny.clip.get_sd()) == set(clone.get_sd())


@pytest.mark.parametrize(("frames", "latent_frames"), [(1, 1), (9, 3), (13, 4)])
def test_the_vae_works_in_comfyuis_own_nodes(tiny, frames, latent_frames):
    from nodes import VAEDecode, VAEEncode

    pixels = torch.rand(frames, 48, 64, 3, generator=torch.Generator().manual_seed(1))
    (latent,) = VAEEncode().encode(tiny.vae, pixels)
    assert latent["samples"].shape == (1, 16, latent_frames, 6, 8)
    assert torch.isfinite(latent["samples"]).all()
    (decoded,) = VAEDecode().decode(tiny.vae, latent)
    assert decoded.shape == (frames, 48, 64, 3)
    assert 0 <= decoded.min() <= decoded.max() <= 1


def test_the_files_hold_all_the_weights_and_nothing_else(tiny):
    trees = {
        tiny_story.VAE: tiny.vae.first_stage_model,
        tiny_story.GENERATOR: tiny.model.model.diffusion_model,
        tiny_story.TEXT: tiny.clip.cond_stage_model.encoder,
    }
    for name, tree in trees.items():
        assert set(load_file(tiny_story.ASSETS / name)) == set(tree.state_dict()), name


def test_its_pictures_move_and_follow_the_prompt(tiny):
    videos = []
    for prompt in ("a robot walks in the meadow", "the beach lies empty"):
        samples, _, _ = tiny.sample(schedule=tiny.schedule(prompt), length=21)
        videos.append(tiny.vae.decode(samples)[0])
    for video in videos:
        assert video.std() > 0.05, "a flat picture"
        assert video.std(dim=-1).mean() > 0.05, "grey"
        assert (video[1:] - video[:-1]).abs().amax() > 0.05, "a still"
    assert (videos[0] - videos[1]).abs().mean() > 0.05


def test_the_files_are_made_by_the_tool_and_stay_small(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["make_tiny_model", "--out", str(tmp_path / "new")])
    make_tiny_model.main()
    shipped = {file.name: file.read_bytes() for file in tiny_story.ASSETS.glob("*.safetensors")}
    assert {file.name: file.read_bytes() for file in (tmp_path / "new").iterdir()} == shipped
    assert sum(map(len, shipped.values())) < 4_000_000
    assert make_tiny_model.files(seed=1) != shipped


def _save(path: Path, config: dict, weights: dict | None = None) -> Path:
    whole = TextEncoder(TextConfig(("robot", "cat"))).state_dict() if weights is None else weights
    save_file(whole, path, {METADATA_KEY: json.dumps(config)})
    return path


def _damaged(path: Path) -> Path:
    weights = TextEncoder(TextConfig(("robot", "cat"))).state_dict()
    weights["norm.weight"][0] = float("nan")
    return _save(path, {"words": ["robot", "cat"]}, weights)


BAD_TEXT_FILES = {
    "is not the text encoder": lambda path: tiny_story.ASSETS / tiny_story.GENERATOR,
    "does not fit together": lambda path: _save(path, {"words": ["robot", "cat", "ghost"]}),
    "different words": lambda path: _save(path, {"words": ["robot", "robot"]}),
    "length is 1000000000": lambda path: _save(path, {"words": ["robot", "cat"], "length": 10**9}),
    "damaged tiny_text": lambda path: _save(path, {"vocabulary": ["robot", "cat"]}),
    "norm.weight holds NaN": _damaged,
}


@pytest.mark.parametrize("problem", BAD_TEXT_FILES)
def test_a_bad_text_encoder_file_is_named(problem, tmp_path):
    with pytest.raises(ValueError, match=problem) as error:
        read_text_encoder(BAD_TEXT_FILES[problem](tmp_path / "text.safetensors"))
    assert "\n" not in str(error.value)
