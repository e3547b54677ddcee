"""Which profile a file has, and which files are refused, by names as people have them."""

from __future__ import annotations

import pytest

from memflow_core.profiles import LAYOUTS, PROFILES, Signs, pick, refusal, signs_of_name

SMALL, LARGE, GROUPED = {}, {"dim": 5120}, {"dim": 3072, "channels": 48}

# file, what else is known, profile
KINDS = [
    ("MemFlow/base.pt", SMALL, "MemFlow"),
    ("memflow_base.safetensors", SMALL, "MemFlow"),
    ("longlive_base.pt", SMALL, "LongLive 1"),
    ("LongLive-1.3B/models/longlive_base.pt", SMALL, "LongLive 1"),
    ("self_forcing_dmd.pt", SMALL, "Self-Forcing"),
    ("Wan2_1-T2V-1_3B-Self-Forcing-DMD-fp16.safetensors", SMALL, "Self-Forcing"),
    ("chunkwise/causal_forcing.pt", SMALL, "Causal Forcing, chunk-wise"),
    ("chunkwise/longvideo.pt", SMALL, "Causal Forcing, long video"),
    ("framewise/causal_forcing.pt", SMALL, "Causal Forcing, frame-wise"),
    ("causal_forcing-framewise.safetensors", SMALL, "Causal Forcing, frame-wise"),
    ("causal-forcing++/framewise-2step.pt", SMALL, "Causal Forcing++, frame-wise, 2 steps"),
    ("framewise_1step.pt", SMALL, "Causal Forcing++, frame-wise, 1 step"),
    ("rewardforcing.pt", SMALL, "Reward Forcing"),
    ("Reward-Forcing-T2V-1.3B/rewardforcing.pt", SMALL, "Reward Forcing"),
    ("cmgrpo_raven_merge.pt", SMALL, "RAVEN"),
    ("LiveWan_1.3B_bf16.safetensors", SMALL, "LiveWan"),
    ("krea-realtime-video-14b.safetensors", LARGE, "Krea Realtime 14B"),
    ("krea/krea-realtime-video-14b_fp8.safetensors", LARGE, "Krea Realtime 14B"),
    ("some_14b_dmd.safetensors", LARGE, "Wan 14B, streaming"),
    ("LongLive-2.0-5B/model_bf16.pt", GROUPED, "LongLive 2"),
    ("longlive2_merged.safetensors", GROUPED, "LongLive 2"),
    ("LongLive-2.0-5B-S2.pt", GROUPED, "LongLive 2, 2 steps"),
    ("model_bf16.pt", GROUPED, "LongLive 2"),
    ("model.pt", SMALL, "MemFlow"),
    ("tiny_story_generator.safetensors", {"dim": 64}, "Tiny story model"),
]


@pytest.mark.parametrize(("file", "known", "name"), KINDS, ids=[kind[0] for kind in KINDS])
def test_a_file_gets_the_settings_that_it_was_trained_with(file, known, name):
    assert pick(Signs(file, **known)).profile is PROFILES[name]


def test_metadata_decides_where_the_name_says_nothing():
    causal = {"config": '{"transformer": {"causal_ar": true}}'}
    assert pick(Signs("model.safetensors", causal)).profile.sampling.chunk_frames == 1
    assert pick(Signs("self_forcing.safetensors", causal)).profile.name == "Self-Forcing"
    for broken in ("no json", "[]", '{"transformer": 3}', '{"transformer": {"causal_ar": "yes"}}'):
        assert pick(Signs("model.safetensors", {"config": broken})).why == "layout"


def test_a_lora_decides_before_the_model_that_it_is_for():
    signs = Signs("wan2.2_ti2v_5B_fp16.safetensors", dim=3072, channels=48, lora="longlive2_lora.pt")
    picked = pick(signs)
    assert picked.profile.name == "LongLive 2" and picked.why == "name"
    unnamed = pick(Signs("wan2.1_t2v_1.3B_fp16.safetensors", lora="lora.pt"))
    assert unnamed.profile.name == "MemFlow" and unnamed.why == "layout"


REFUSED = [
    ("wan2.1_t2v_1.3B_fp16.safetensors", SMALL, "sees a whole clip at once"),
    ("Wan2_1-T2V-1_3B_bf16.safetensors", SMALL, "sees a whole clip at once"),
    ("wan2.1_t2v_14B_fp8_e4m3fn.safetensors", LARGE, "sees a whole clip at once"),
    ("wan2.2_ti2v_5B_fp16.safetensors", GROUPED, "sees a whole clip at once"),
    ("Wan2.1-T2V-1.3B/diffusion_pytorch_model.safetensors", SMALL, "sees a whole clip at once"),
    ("FastWan2.1-T2V-1.3B.safetensors", SMALL, "sees a whole clip at once"),
    ("Wan14BT2VFusioniX_fp16.safetensors", LARGE, "sees a whole clip at once"),
    ("wan_t2v_1.3b.safetensors", SMALL, "sees a whole clip at once"),
    ("Wan2_1-SkyReels-V2-DF-1_3B-540P_fp32.safetensors", SMALL, "SkyReels"),
    ("Phantom-Wan-1_3B_fp16.safetensors", SMALL, "Phantom"),
    ("wan2.2_t2v_high_noise_14B_fp8_scaled.safetensors", LARGE, "high and low noise"),
    ("wan2.1_i2v_480p_14B_fp16.safetensors", LARGE, "image-to-video"),
    ("wan2.1_flf2v_720p_14B_fp16.safetensors", LARGE, "image-to-video"),
    ("wan2.1_vace_1.3B_fp16.safetensors", SMALL, "VACE"),
    ("Wan2_1-VACE_module_1_3B_bf16.safetensors", SMALL, "VACE"),
    ("wan2.2_s2v_14B_fp8_scaled.safetensors", LARGE, "speech-to-video"),
    ("Wan2_2-Animate-14B_fp8.safetensors", LARGE, "Animate"),
    ("Helios-Distilled.safetensors", LARGE, "Helios"),
    ("rolling_forcing_dmd.pt", SMALL, "Rolling Forcing"),
    ("shotstream_merged.pt", SMALL, "ShotStream"),
]


@pytest.mark.parametrize(("file", "known", "reason"), REFUSED, ids=[kind[0] for kind in REFUSED])
def test_what_cannot_be_streamed_is_refused_by_its_name_with_what_to_do(file, known, reason):
    with pytest.raises(ValueError, match=reason) as error:
        pick(Signs(file, **known))
    sentence = str(error.value)
    assert (
        sentence.startswith(file.rpartition("/")[2])
        and ": load " in sentence
        and sentence.endswith(".")
        and "\n" not in sentence
    )
    assert refusal(signs_of_name(file)) == sentence


def test_where_nothing_is_known_that_is_said():
    assert pick(Signs("my_merge.safetensors")).why == "layout"
    assert pick(Signs()).why == "unknown" and pick(Signs()).profile.name == "MemFlow"


def test_a_chosen_profile_is_taken_whatever_the_name_says():
    assert pick(Signs("wan2.1_t2v_1.3B_fp16.safetensors"), "Self-Forcing").why == "user"
    with pytest.raises(ValueError, match="48 latent channels"):
        pick(Signs("model.pt"), "LongLive 2")
    with pytest.raises(ValueError, match="one of auto; MemFlow"):
        pick(Signs("model.pt"), "no such profile")


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_memory_counts_whole_chunks_and_reads_no_more_than_in_training(profile):
    trained = {"LongLive 2": 32, "LongLive 2, 2 steps": 32, "Reward Forcing": 9, "LiveWan": 6, "Krea Realtime 14B": 6}
    with_bank = ("MemFlow", "LongLive 1", "Tiny story model")
    assert profile.frames_read == (12 + 3 if profile.name in with_bank else trained.get(profile.name, 21))
    assert profile.memory.window_frames % profile.sampling.chunk_frames == 0 or profile.sampling.refresh
    assert profile.pixels == {16: 8, 48: 16}[profile.channels]
    assert profile.width % (2 * profile.pixels) == profile.height % (2 * profile.pixels) == 0


def test_every_layout_has_a_usual_profile_for_its_latents():
    for layout in LAYOUTS:
        assert PROFILES[layout.usual].channels == layout.channels
        assert PROFILES[layout.usual].pixels == layout.pixels


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 8, 16])
@pytest.mark.parametrize("name", ["MemFlow", "Self-Forcing", "LongLive 2", "Causal Forcing, frame-wise"])
def test_another_chunk_takes_memory_along(name, chunk):
    changed = PROFILES[name].changed(chunk_frames=chunk)
    assert changed.sampling.chunk_frames == chunk
    assert changed.memory.window_frames >= chunk
    same = PROFILES[name].changed(chunk_frames=PROFILES[name].sampling.chunk_frames)
    assert same == PROFILES[name]


def test_a_name_alone_gives_the_sizes_that_such_files_have():
    assert signs_of_name("LongLive-2.0-5B/model_bf16.pt").channels == 48
    assert signs_of_name("wan2.2_ti2v_5B_fp16.safetensors", "lora.pt").channels == 48
    assert signs_of_name("krea-realtime-video-14b.safetensors").dim == 5120
    assert signs_of_name("memflow.pt").dim == 1536


def test_a_long_name_takes_no_time_and_no_room():
    pick(Signs("wan" * 20_000 + "2.1_" * 20_000 + "t2" * 20_000))
    for strange in ("wan2.1_t2v_" + "x" * 10_000, "wan2.1_t2v_1.3B\n\ud800.pt"):
        sentence = refusal(Signs(strange))
        assert sentence is not None and len(sentence) < 500 and "\n" not in sentence
