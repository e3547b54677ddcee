"""Every kind of streaming Wan, as a tiny twin in its own layout and dialect, from its file to a story and its state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.nodes.twins import in_dialect, random_weights, vae_of_22, write

LOADER = {"lora_name": "none", "lora_strength": 1.0, "lora_alpha": 0.0, "weights": "auto", "weight_dtype": "default"}
USUAL = {"steps": "1000, 750, 500, 250", "shift": 5.0}
STORY = "0s: a robot walks in the meadow\n{at}s [{switch}]: an empty beach"
GROUPED = {"in_channels": 48, "out_channels": 48}

# file, dialect, sizes of the layout, profile, passes of denoising by chunk
KINDS = {
    "MemFlow": ("memflow/base.pt", "generator", {}, [4, 4]),
    "LongLive 1": ("longlive_base.pt", "generator", {}, [4, 4]),
    "Self-Forcing": ("self_forcing_dmd.pt", "averaged", {}, [4, 4]),
    "Causal Forcing, chunk-wise": ("chunkwise/causal_forcing.pt", "averaged", {}, [4, 4]),
    "Causal Forcing, long video": ("chunkwise/longvideo.pt", "averaged", {}, [4, 4]),
    "Causal Forcing, frame-wise": ("framewise/causal_forcing.pt", "averaged", {}, [4, 4]),
    "Causal Forcing++, frame-wise, 2 steps": ("framewise-2step.pt", "averaged", {}, [4, 2]),
    "Causal Forcing++, frame-wise, 1 step": ("framewise-1step.pt", "averaged", {}, [4, 1]),
    "Reward Forcing": ("rewardforcing.pt", "averaged", {}, [4, 4]),
    "RAVEN": ("cmgrpo_raven_merge.pt", "generator", {}, [4, 4]),
    "LiveWan": ("LiveWan_bf16.safetensors", "plain", {}, [4, 4]),
    "Krea Realtime 14B": ("krea-realtime-video-14b.safetensors", "plain", {}, [4, 4]),
    "LongLive 2": ("LongLive-2.0-5B/model_bf16.pt", "generator", GROUPED, [4, 4]),
    "LongLive 2, 2 steps": ("LongLive-2.0-5B-S2.pt", "plain", GROUPED, [2, 2]),
}


@pytest.fixture(scope="module")
def folder(pack, tmp_path_factory) -> Path:
    import folder_paths

    folder = tmp_path_factory.mktemp("kinds")
    for kind in ("diffusion_models", "loras"):
        folder_paths.add_model_folder_path(kind, str(folder))
    return folder


@pytest.fixture(scope="module")
def load(tiny, folder):
    """load(profile) -> the `MODEL` of its twin, by MemFlow Load Model."""
    made: dict[str, Any] = {}

    def by_name(name: str):
        if name not in made:
            file, dialect, sizes, _ = KINDS[name]
            write(folder, file, in_dialect(random_weights(**sizes), dialect))
            made[name] = tiny.nodes.loaders.MemFlowLoadModel.execute(model_name=file, **LOADER).result[0]
        return made[name]

    return by_name


def size_of(profile) -> dict[str, Any]:
    return {"width": 8 * profile.pixels, "height": 4 * profile.pixels, "fps": profile.fps}


def sample(tiny, model, profile, chunks: int, switch: str = "recache", **changes):
    """A story of so many chunks whose second prompt starts with the second one."""
    grid = tiny.nodes.run.request.ChunkGrid(profile.sampling.chunk_frames, profile.fps)
    text = STORY.format(at=f"{grid.start_s(1):.4f}", switch=switch)
    settings = {"length": grid.px_frames(chunks), **size_of(profile), **USUAL, **changes}
    return tiny.sample(model=model, schedule=tiny.schedule(text), **settings)


@pytest.mark.parametrize("name", KINDS)
def test_a_twin_streams_with_the_settings_of_its_kind_and_goes_on_from_its_state(tiny, load, name):
    model = load(name)
    profile = tiny.nodes.host.profile_of(model).profile
    assert profile.name == name
    chunk, grid = profile.sampling.chunk_frames, tiny.nodes.run.request.ChunkGrid(profile.sampling.chunk_frames, 16.0)
    chunks = max(3, grid.chunks_for_px(9))
    latents, state, report = sample(tiny, model, profile, chunks)
    assert latents.shape[1:] == (profile.channels, chunks * chunk, 4, 8)
    assert bool(torch.isfinite(latents).all()) and latents.std() > 0.01
    told = json.loads(report)
    first, later = KINDS[name][3]
    assert told["forwards"]["denoise"] == first + (chunks - 1) * later
    assert told["estimate"]["denoise"] == told["forwards"]["denoise"]
    refreshes = chunks - 1 if profile.sampling.refresh else 0
    assert told["forwards"].get("refresh", 0) == told["estimate"]["refresh"] == refreshes
    assert told["estimate"]["recache"] == told["forwards"].get("recache", 0)
    assert state.stream.sampling == profile.sampling and state.stream.memory == profile.memory
    longer, _, _ = sample(tiny, model, profile, chunks + 2)
    rest, _, _ = sample(tiny, model, profile, 1, state=state, length=8 * chunk)
    torch.testing.assert_close(torch.cat((latents, rest[:, :, : 2 * chunk]), dim=2), longer, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["Causal Forcing++, frame-wise, 2 steps", "LongLive 2"])
def test_memory_of_every_kind_works_at_every_chunk_size(tiny, load, name):
    model = load(name)
    profile = tiny.nodes.host.profile_of(model).profile
    chunk = profile.sampling.chunk_frames
    for retrieval in ("prompt", "similarity", "attention", "fifo", "none", "reference"):
        memory = tiny.memory(retrieval=retrieval, window_size=2 * chunk, sink_size=chunk)
        latents, _, _ = sample(tiny, model, profile, 10 if chunk == 1 else 3, "cut", memory=memory)
        assert bool(torch.isfinite(latents).all())


def test_a_shot_of_longlive_2_jumps_and_reads_nothing_again(tiny, load):
    model = load("LongLive 2")
    profile = tiny.nodes.host.profile_of(model).profile
    jumped, state, report = sample(tiny, model, profile, 4, "jump")
    soft, _, _ = sample(tiny, model, profile, 4, "soft")
    recached, _, second = sample(tiny, model, profile, 4, "recache")
    assert state.stream.meta["jumps"] == [8]
    assert "recache" not in json.loads(report)["forwards"] and "recache" not in json.loads(second)["forwards"]
    assert torch.equal(soft, recached) and not torch.equal(soft, jumped)
    assert any("never recached" in line for line in json.loads(second)["told"])


def test_the_average_is_loaded_where_the_published_program_takes_it(tiny, load, folder):
    plain = load("Self-Forcing").model.diffusion_model.blocks[0].ffn[0].weight
    averaged = load("Causal Forcing, chunk-wise").model.diffusion_model.blocks[0].ffn[0].weight
    assert not torch.equal(plain, averaged)
    torch.testing.assert_close(plain * 0.999, averaged)
    chosen = tiny.nodes.loaders.MemFlowLoadModel.execute(
        model_name="chunkwise/causal_forcing.pt", **{**LOADER, "weights": "generator"}
    ).result[0]
    assert torch.equal(chosen.model.diffusion_model.blocks[0].ffn[0].weight, plain)


def test_widgets_that_are_changed_count_before_the_profile(tiny, load):
    model = load("Causal Forcing++, frame-wise, 2 steps")
    profile = tiny.nodes.host.profile_of(model).profile
    _, state, _ = tiny.sample(model=model, length=9, **size_of(profile), steps="1000", shift=3.0)
    assert state.stream.sampling.steps == (1000,) and state.stream.sampling.shift == 3.0
    assert state.stream.sampling.first_steps == (1000, 750, 500, 250)


def test_the_profile_node_says_what_a_model_is_and_changes_its_chunk(tiny, load):
    node = tiny.nodes.profile.MemFlowProfile
    changed = node.execute(tiny.model, "Self-Forcing", 1, "1000, 500").result[0]
    _, state, _ = tiny.sample(model=changed, length=9, **USUAL)
    assert state.stream.sampling.chunk_frames == 1 and state.stream.sampling.first_steps == (1000, 500)
    assert tiny.nodes.host.profile_of(tiny.model).profile.name == "Tiny story model"
    # as ComfyUI's nodes for LoRAs and the like copy a model
    assert tiny.nodes.host.profile_of(changed.clone()).profile.sampling.chunk_frames == 1
    with pytest.raises(ValueError, match="48 latent channels"):
        node.execute(tiny.model, "LongLive 2")
    assert node.validate_inputs("10, 20") is not True and node.validate_inputs("") is True
    with pytest.raises(ValueError, match="the state's chunks have 1 latent frames, but the model's profile"):
        tiny.sample(length=9, state=state, **USUAL)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("wan2.1_t2v_1.3B_fp16.safetensors", "sees a whole clip at once"),
        ("wan2.1_vace_1.3B_fp16.safetensors", "VACE"),
        ("wan2.2_ti2v_5B_fp16.safetensors", "sees a whole clip at once"),
        ("Helios-Distilled.safetensors", "Helios"),
        ("rolling_forcing_dmd.pt", "Rolling Forcing"),
    ],
)
def test_what_cannot_be_streamed_is_refused_before_its_file_is_opened(tiny, folder, file, reason):
    (folder / file).write_bytes(b"not opened")
    with pytest.raises(ValueError, match=reason):
        tiny.nodes.loaders.MemFlowLoadModel.execute(model_name=file, **LOADER)


def test_comfyuis_own_loader_brings_the_name_along(tiny, load, folder):
    import comfy.sd

    path = folder / "causal_forcing-framewise.safetensors"
    write(folder, path.name, random_weights(dim=256, num_heads=2, text_dim=4096))
    model = comfy.sd.load_diffusion_model(str(path))
    picked = tiny.nodes.host.profile_of(model)
    assert picked.profile.name == "Causal Forcing, frame-wise" and picked.why == "name"
    (folder / "wan2.1_t2v_1.3B_fp16.safetensors").write_bytes(path.read_bytes())
    whole = comfy.sd.load_diffusion_model(str(folder / "wan2.1_t2v_1.3B_fp16.safetensors"))
    with pytest.raises(ValueError, match="sees a whole clip at once"):
        tiny.sample(model=whole)
    # a LoRA may teach it
    patched = whole.clone()
    patched.add_patches({"diffusion_model.head.head.bias": (torch.zeros(64),)})
    assert tiny.nodes.host.profile_of(patched).why == "layout"


def test_metadata_of_comfyuis_repack_makes_it_frame_wise(tiny, folder):
    import comfy.sd
    from safetensors.torch import save_file

    weights = random_weights(dim=256, num_heads=2, text_dim=4096)
    path = folder / "repacked.safetensors"
    save_file(weights, path, metadata={"config": json.dumps({"transformer": {"causal_ar": True}})})
    by_comfyui = comfy.sd.load_diffusion_model(str(path))
    by_us = tiny.nodes.loaders.MemFlowLoadModel.execute(model_name=path.name, **LOADER).result[0]
    for model in (by_comfyui, by_us):
        picked = tiny.nodes.host.profile_of(model)
        assert picked.profile.name == "Causal Forcing, frame-wise" and picked.why == "metadata"


# -- 48 channels, 16 x 16 pixels a latent -----------------------------------------------------------------------------


def test_a_story_of_48_channels_becomes_a_video_of_the_size_asked_for(tiny, load, stream, written):
    model = load("LongLive 2")
    _, state, report = stream(
        model=model,
        vae=vae_of_22(tiny.vae),
        schedule=tiny.schedule("0s: a robot walks in the meadow\n2s [jump]: an empty beach"),
        length=93,
        width=64,
        height=32,
        fps=24.0,
        **USUAL,
    )
    frames = torch.cat(written)
    assert frames.shape == (93, 32, 64, 3) and report["video_frames"] == 93
    assert state.stream.shape == tiny.nodes.run.request.LatentShape(2, 4, pixels=16)
    assert any("chunks of 8" in line for line in report["told"])
    whole = vae_of_22(tiny.vae)
    decoded = whole.decode(tiny.nodes.host.to_latent(model, _all_latents(tiny, load)))[0]
    assert decoded.shape == (93, 32, 64, 3)
    torch.testing.assert_close((decoded * 255).round(), frames.float(), atol=1.01, rtol=0)


def _all_latents(tiny, load) -> torch.Tensor:
    schedule = tiny.schedule("0s: a robot walks in the meadow\n2s [jump]: an empty beach")
    size = {"width": 64, "height": 32, "fps": 24.0}
    latents, _, _ = tiny.sample(model=load("LongLive 2"), schedule=schedule, length=93, **size, **USUAL)
    return tiny.nodes.host.from_latent(load("LongLive 2"), latents)


@pytest.mark.parametrize(("width", "height"), [(64, 48), (80, 32), (48, 48)])
def test_sizes_off_the_grid_of_32_are_refused_before_sampling(tiny, load, width, height):
    with pytest.raises(
        ValueError, match=rf"the picture is {width} x {height} pixels, but both must be multiples of 32"
    ):
        tiny.sample(model=load("LongLive 2"), length=29, width=width, height=height, fps=24.0, **USUAL)


def test_a_vae_of_other_latents_is_refused_with_the_right_one(tiny, load, stream):
    size = {"width": 64, "height": 32, "fps": 24.0, "length": 29}
    with pytest.raises(ValueError, match=r"16 latent channels, but the model makes 48: connect the Wan 2\.2 VAE"):
        stream(model=load("LongLive 2"), **size, **USUAL)
    with pytest.raises(ValueError, match=r"48 latent channels, but the model makes 16: connect the Wan 2\.1 VAE"):
        stream(vae=vae_of_22(tiny.vae), length=9)


def test_pictures_of_48_channels_start_a_story_and_fill_whole_chunks(tiny, load):
    import nodes as comfy_nodes

    model, vae = load("LongLive 2"), vae_of_22(tiny.vae)
    prompt = comfy_nodes.CLIPTextEncode().encode(tiny.clip, "a robot walks in the meadow")[0]
    pictures = torch.rand(40, 32, 64, 3, generator=torch.Generator().manual_seed(2))
    node = tiny.nodes.images.MemFlowStartImages
    settings = {"width": 64, "height": 32, "length": 61, "fps": 24.0}
    state = node.execute(vae, prompt, pictures, **settings, model=model).result[0]
    assert state.initial.start.latents.shape == (1, 48, 8, 2, 4)
    made, _, _ = tiny.sample(
        model=model,
        state=state,
        schedule=tiny.schedule("a robot walks in the meadow"),
        width=64,
        height=32,
        fps=24.0,
        length=32,
        **USUAL,
    )
    assert made.shape == (1, 48, 8, 2, 4)
    unlinked = node.execute(vae, prompt, pictures, **settings).result[0]
    with pytest.raises(ValueError, match="connect the model to MemFlow Start Images too"):
        tiny.sample(
            model=model,
            state=unlinked,
            schedule=tiny.schedule("a robot walks in the meadow"),
            width=64,
            height=32,
            fps=24.0,
            length=32,
            **USUAL,
        )
    with pytest.raises(ValueError, match="multiples of 32"):
        node.execute(vae, prompt, pictures, **{**settings, "height": 48}, model=model)


def test_a_frame_wise_story_starts_from_any_number_of_pictures(tiny, load):
    import nodes as comfy_nodes

    model = load("Causal Forcing, frame-wise")
    prompt = comfy_nodes.CLIPTextEncode().encode(tiny.clip, "a robot walks in the meadow")[0]
    pictures = torch.rand(7, 32, 64, 3, generator=torch.Generator().manual_seed(2))
    for count, latents in ((1, 1), (5, 2), (7, 2)):
        state = tiny.nodes.images.MemFlowStartImages.execute(
            tiny.vae, prompt, pictures[:count], width=64, height=32, length=33, fps=16.0, model=model
        ).result[0]
        assert state.initial.start.latents.shape[2] == latents
        made, _, _ = tiny.sample(
            model=model,
            state=state,
            schedule=tiny.schedule("a robot walks in the meadow"),
            width=64,
            height=32,
            fps=16.0,
            length=9,
            **USUAL,
        )
        assert bool(torch.isfinite(made).all())


# -- LoRAs, and files whose name says nothing --------------------------------------------------------------------------


def lora_of(weights: dict[str, torch.Tensor], rank: int = 4) -> dict[str, Any]:
    """A LoRA as LongLive 2 and MemFlow publish theirs."""
    generator = torch.Generator().manual_seed(8)
    halves = {}
    for key in weights:
        if key.endswith(("self_attn.q.weight", "ffn.0.weight")):
            out, into = weights[key].shape
            module = f"base_model.model.{key.removesuffix('.weight')}"
            halves[f"{module}.lora_A.weight"] = torch.randn(rank, into, generator=generator) * 0.1
            halves[f"{module}.lora_B.weight"] = torch.randn(out, rank, generator=generator) * 0.1
    return {"generator_lora": halves}


def test_a_base_of_48_channels_with_a_lora_is_what_the_lora_makes_of_it(tiny, folder):
    weights = random_weights(**GROUPED)
    write(folder, "wan2.2_ti2v_5B_fp16.safetensors", weights)
    write(folder, "longlive2_lora.pt", lora_of(weights))
    settings = {**LOADER, "lora_name": "longlive2_lora.pt"}
    load = tiny.nodes.loaders.MemFlowLoadModel.execute
    model = load(model_name="wan2.2_ti2v_5B_fp16.safetensors", **settings).result[0]
    profile = tiny.nodes.host.profile_of(model).profile
    assert profile.name == "LongLive 2"
    merged, _, _ = sample(tiny, model, profile, 2)
    bare = load(model_name="wan2.2_ti2v_5B_fp16.safetensors", **{**LOADER, "profile": "LongLive 2"}).result[0]
    without, _, _ = sample(tiny, bare, profile, 2)
    assert merged.shape == without.shape == (1, 48, 16, 4, 8) and not torch.equal(merged, without)


def test_a_file_whose_name_says_nothing_is_taken_by_its_layout_and_that_is_told(tiny, folder, monkeypatch):
    shown = []
    monkeypatch.setattr(tiny.nodes.loaders.host, "show_on_node", shown.append)
    write(folder, "mine.pt", in_dialect(random_weights(), "generator"))
    model = tiny.nodes.loaders.MemFlowLoadModel.execute(model_name="mine.pt", **LOADER).result[0]
    assert "does not say what it is, so it is taken for MemFlow" in shown[0] and "chunks of 3" in shown[0]
    _, _, report = tiny.sample(model=model, length=9, **USUAL)
    assert any("taken for MemFlow" in line for line in json.loads(report)["told"])
    chosen = tiny.nodes.profile.MemFlowProfile.execute(model, "MemFlow").result[0]
    assert json.loads(tiny.sample(model=chosen, length=9, **USUAL)[2])["told"] == []


def test_a_live_prompt_falls_on_the_chunks_of_the_model_and_plays_again(tiny, load):
    """Of 8 latent frames: what was played, with a prompt that jumps, makes the same latents again."""
    model = load("LongLive 2")
    profile = tiny.nodes.host.profile_of(model).profile
    run = {"model": model, **size_of(profile), **USUAL, "length": 125}
    node = tiny.nodes.sampler.MemFlowSampler
    schedule = tiny.schedule("0s: a robot walks in the meadow\n3s [jump]: an empty beach")
    latent, _, report, played = node.execute(schedule=schedule, seed=7, **run).result
    assert "[jump]" in played and json.loads(report)["plan"]["segments"][1]["start_chunk"] == 3
    again, _, _, _ = node.execute(schedule=tiny.schedule(played), seed=7, **run).result
    assert torch.equal(latent["samples"], again["samples"])
