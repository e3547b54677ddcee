"""The bundled tiny story model: its three parts in ComfyUI's own nodes, and how its files are made."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.recall import evaluate_segment
from memflow_core.weights import ASSETS, TINY_GENERATOR, TINY_TEXT, TINY_VAE, TextConfig, TextEncoder, read_text_encoder
from memflow_core.weights.tiny import METADATA_KEY
from training.cartoons import render, sample_story, story_from_prompts, vocabulary
from training.generator import GeneratorSettings, GeneratorTrainer
from training.train_generator import export, read_exported

PROMPT = "a robot walks across the meadow"
LENGTH, WIDTH = 16, 128


@pytest.fixture
def encode(tiny):
    """encode(text) -> embedding, through ComfyUI's CLIP Text Encode."""
    from nodes import CLIPTextEncode

    return lambda text: CLIPTextEncode().encode(tiny.clip, text)[0][0][0]


def test_a_prompt_becomes_a_row_for_each_word_and_zeros(encode):
    embedding = encode(PROMPT)
    assert embedding.shape == (1, LENGTH, WIDTH)
    assert embedding.dtype == torch.float32
    words_and_end = len(PROMPT.split()) + 1
    used = embedding[0].abs().amax(dim=-1) > 0
    assert used.tolist() == [True] * words_and_end + [False] * (LENGTH - words_and_end)


def test_each_word_matters_but_case_and_punctuation_do_not(encode):
    embedding = encode(PROMPT)
    assert torch.equal(embedding, encode("A robot, walks ACROSS the meadow!"))
    for other in (
        "a ghost walks across the meadow",
        "a robot walks across the beach",
        "robot a walks across the meadow",
    ):
        assert not torch.allclose(embedding, encode(other), atol=0.1)


def test_an_empty_prompt_is_a_prompt(encode):
    embedding = encode("")
    assert embedding.shape == (1, LENGTH, WIDTH)
    assert embedding[0, 0].abs().sum() > 0
    assert not torch.allclose(embedding, encode(PROMPT))


def test_a_weighted_word_counts_for_more(encode):
    plain, weighted = encode("a robot waves"), encode("a (robot:1.5) waves")
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
    assert encode(" ".join(["robot"] * (LENGTH - 1)))[0].abs().amax(dim=-1).all()
    with pytest.raises(ValueError, match=f"{LENGTH} words.*at most {LENGTH - 1}"):
        encode(" ".join(["robot"] * LENGTH))


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
        TINY_VAE: tiny.vae.first_stage_model,
        TINY_GENERATOR: tiny.model.model.diffusion_model,
        TINY_TEXT: tiny.clip.cond_stage_model.encoder,
    }
    for name, tree in trees.items():
        assert set(load_file(ASSETS / name)) == set(tree.state_dict()), name


def test_it_shows_what_the_prompt_says(tiny):
    samples, _, _ = tiny.sample(
        schedule=tiny.schedule("a robot walks across the meadow"), length=33, steps="1000, 750, 500, 250"
    )
    video = (255 * tiny.vae.decode(samples)[0].detach()).numpy()
    assert np.abs(np.diff(video, axis=0)).mean((1, 2, 3)).min() > 0.3, "a still"
    segment = story_from_prompts([("a robot walks across the meadow", 3)]).segments[0]
    scores = evaluate_segment(video.round().astype(np.uint8), segment, range(3), "robot")
    assert scores.right == {"character": 1.0, "scene": 1.0, "action": 1.0}


@torch.no_grad()  # as ComfyUI runs nodes; else gradients of a whole video are kept
@pytest.mark.parametrize("seed", [11, 12])
def test_comfyuis_decoder_shows_stories_as_they_were_drawn(tiny, seed):
    pictures = torch.from_numpy(render(sample_story(seed), 0, 81)).float() / 255
    decoded = tiny.vae.decode(tiny.vae.encode(pictures))[0]
    error = (decoded - pictures).square().mean((1, 2, 3))
    assert -10 * error.mean().log10() >= 30
    assert -10 * error[1::4].mean().log10() >= 27, "the first picture of each latent frame"


def test_every_prompt_of_the_stories_can_be_read(tiny):
    words = read_text_encoder(ASSETS / TINY_TEXT).config.words
    assert words == vocabulary()


def test_the_files_are_small_and_training_can_go_on_from_them(tmp_path):
    assert sum(file.stat().st_size for file in ASSETS.iterdir()) < 24_000_000
    run = GeneratorTrainer(GeneratorSettings(), "cpu")
    run.load_weights(read_exported(ASSETS))
    for written in export(run.average, tmp_path):
        new, shipped = load_file(written), load_file(ASSETS / written.name)
        assert {name: value.dtype for name, value in new.items()} == dict.fromkeys(shipped, torch.float16)
        # the words have rows of their own, and training knows more of them
        others = new.keys() - {"embedding.weight"}
        assert all(torch.equal(new[name], shipped[name]) for name in others)
    before, after = (read_text_encoder(folder / TINY_TEXT) for folder in (ASSETS, tmp_path))
    for word in before.config.words:
        rows = (encoder.embedding.weight[encoder.config.ids(word)] for encoder in (before, after))
        assert torch.equal(*rows), word


def _save(path: Path, config: dict, weights: dict | None = None) -> Path:
    whole = TextEncoder(TextConfig(("robot", "cat"))).state_dict() if weights is None else weights
    save_file(whole, path, {METADATA_KEY: json.dumps(config)})
    return path


def _damaged(path: Path) -> Path:
    weights = TextEncoder(TextConfig(("robot", "cat"))).state_dict()
    weights["norm.weight"][0] = float("nan")
    return _save(path, {"words": ["robot", "cat"]}, weights)


BAD_TEXT_FILES = {
    "is not the text encoder": lambda path: ASSETS / TINY_GENERATOR,
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
