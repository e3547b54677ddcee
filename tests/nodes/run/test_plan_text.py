"""What a run needs room for, beside its stream, and what people read of it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from memflow_core.config import LatentShape, MemoryConfig, ModelConfig, SamplingConfig
from memflow_core.estimate import GB, ModelSize, estimate
from memflow_core.footprint import Decode, Footprint, fp8_bytes_of, weights_of
from memflow_core.model import WanModel
from memflow_core.presets import MEMORIES, PRESETS, REASONS, memory_words
from memflow_core.said import say
from memflow_core.schedule import ChunkGrid, Time, read_schedule
from memflow_core.weights import quantised

FULL = ModelSize(layers=30, dim=1536, heads=12, ffn_dim=8960)
DOCS = Path(__file__).resolve().parents[2] / "web" / "docs"
PAGES = ("Memory", "Sampler", "StreamToVideo")
VAE_NUMBERS = 126_892_531
IN_BF16, IN_FP8 = 2 * weights_of(FULL), fp8_bytes_of(FULL)
# what the desktop, the driver and torch's own reserve may take of a card
HEADROOM = 1.25 * GB
STORY = "0s: a\n10s: b\n20s [cut]: c\n40s: d"


def footprint(
    memory=None, width=832, height=480, text=STORY, frames=957, streamed=True, weights=IN_BF16, **more
) -> Footprint:
    """Of the 1.3B model, by default in bfloat16 and for a minute."""
    shape, memory = LatentShape(height // 8, width // 8), memory or MemoryConfig()
    plan = read_schedule(text).place(ChunkGrid(3, 16.0), Time(frames, "frames"))
    told = estimate(FULL, shape, memory, plan, SamplingConfig())
    decode = Decode.of(shape, 2 * VAE_NUMBERS, 2) if streamed else None
    return Footprint(told, shape, weights, decode, say("a 1.3B model in {0}", "bfloat16"), **more)


@pytest.mark.parametrize("sizes", [(32, 2, 3, 48, 8, 16), (24, 2, 1, 40, 12, 4)])
def test_the_weights_of_a_model_are_counted(sizes):
    dim, heads, layers, ffn, text, channels = sizes
    config = ModelConfig(dim, heads, layers, ffn, text, in_channels=channels, out_channels=channels)
    assert weights_of(ModelSize.of(config)) == sum(number.numel() for number in WanModel(config).parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_bytes_of_a_model_in_fp8_are_counted(dtype):
    config = ModelConfig(32, 2, 3, 48, 8, in_channels=16, out_channels=16)
    tensors = quantised(WanModel(config).to(dtype).state_dict())
    made = sum(tensor.nbytes for key, tensor in tensors.items() if not key.endswith("comfy_quant"))
    assert fp8_bytes_of(ModelSize.of(config, dtype.itemsize)) == made


def test_the_real_model_weighs_what_its_file_does():
    """2.6 GB in bfloat16."""
    assert weights_of(FULL) == 1_418_996_800


def test_a_decode_beside_the_sampling_needs_room_for_both():
    after = footprint()
    beside = replace(after, decode=replace(after.decode, beside=True))
    assert beside.device_bytes - after.device_bytes == min(after.decode.work, after.estimate.activation_bytes) > 0


def test_where_room_is_short_the_decode_waits_for_the_pass():
    after = footprint()
    beside = replace(after, decode=replace(after.decode, beside=True))
    assert beside.within(None) == beside.within(beside.device_bytes) == beside
    assert beside.within(beside.device_bytes - 1) == after
    assert footprint(streamed=False).within(0) == footprint(streamed=False)


def test_a_light_decoder_takes_less_and_is_named():
    usual = footprint()
    light = replace(usual, decode=Decode.of(usual.shape, 0, 2, light=True))
    assert light.decode.work < usual.decode.work / 3 and light.decode.carry < usual.decode.carry / 20
    assert [line for line in light.told()["lines"] if "light decoder" in line]
    assert not [line for line in usual.told()["lines"] if "light decoder" in line]


def test_device_and_ram_are_the_sums_of_what_they_hold():
    told, latent = footprint(), footprint(streamed=False)
    held = told.estimate
    # a decode and a pass through the model never run at once, and the decode is the larger here
    assert told.device_bytes == (
        told.weights + held.cache_bytes + held.candidate_bytes + held.prompt_bytes + told.decode.weights
        + told.decode.carry + told.decode.work
    )  # fmt: skip
    assert latent.device_bytes == latent.weights + held.device_bytes < told.device_bytes
    # all pictures of a minute, or those of a chunk
    assert latent.picture_bytes == 957 * 832 * 480 * 12 and told.picture_bytes == 12 * 832 * 480 * (12 + 6)
    assert latent.ram_bytes == held.state_bytes + latent.picture_bytes
    assert told.ram_bytes == held.state_bytes + told.picture_bytes + told.decode.carry


def test_what_people_read():
    told = footprint(text=f"pin hero: 3s\n{STORY}").told()
    assert told["summary"] == "59.81 s, 402 passes, about 10.2 GB of VRAM"
    assert told["lines"] == [
        "59.81 s: 957 video frames in 80 chunks, 402 passes through the model.",
        "Prompts change at 10.31 s (recache), 20.06 s (cut), 40.31 s (recache).",
        "VRAM at the peak: about 10.2 GB (a 1.3B model in bfloat16 2.6 GB, the VAE 2.0 GB, memory 4.6 GB, work "
        "1.0 GB).",
        "RAM beside the models' files: about 6.7 GB (the state 6.3 GB, named pins 0.3 GB, pictures 82 MB).",
    ]
    latent = replace(footprint(streamed=False), model=None).told()["lines"]
    assert "(the model 2.6 GB, memory 4.6 GB, work" in latent[2] and "all pictures 4.3 GB" in latent[3]


def test_what_is_said_in_another_language_is_the_same():
    """A text and its values, which a page fills in; here it speaks English."""

    def filled(text, *values):
        return text.format(*(filled(*value) if isinstance(value, list) else value for value in values))

    for plan in (
        footprint(),
        footprint(text=f"pin hero: 3s\n{STORY}", streamed=False),
        footprint(text="0s: a", frames=9),
    ):
        told = json.loads(json.dumps(plan.told()))
        assert [filled(*said) for said in told["said"]] == [told["summary"], *told["lines"]]


def test_many_switches_are_told_as_a_number():
    text = "\n".join(f"{4 * number}s: prompt {number}" for number in range(12))
    assert footprint(text=text).told()["lines"][1].endswith(" (recache); 5 more after that.")
    assert footprint(text="0s: a").told()["lines"][1] == "One prompt all the way."


def test_an_open_end_has_no_length():
    told = footprint(open_end=True).told()
    assert told["lines"][0] == "Goes on until you press Finish now." and told["summary"].startswith("open end, about ")


def test_it_is_fit_for_json():
    told = footprint()
    said = json.loads(json.dumps(told.to_dict(), allow_nan=False))
    assert said["peak_vram_bytes"] == told.device_bytes and said["peak_ram_bytes"] == told.ram_bytes
    assert said["forwards"] == said["passes"] == replace(told, before=3).passes - 3
    assert said["chunks"] == 80


# -- presets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fits_on_the_card_that_it_names(name):
    """A minute with three switches, streamed to a file by the 1.3B model, its text encoder gone."""
    preset = PRESETS[name]
    weights = IN_FP8 if preset.fp8_model else IN_BF16
    said = footprint(preset.settings, preset.width, preset.height, weights=weights)
    if preset.card_gb is not None:
        assert said.device_bytes + HEADROOM <= preset.card_gb * GB
        assert str(preset.card_gb) in f"{name} {preset.reason}"
        assert ("load the model in FP8" in preset.reason) == preset.fp8_model


def test_the_size_that_the_models_were_trained_with_fits_on_small_cards():
    """832 x 480: at most 12 GB in bfloat16, and 8 GB with weights and cache in FP8."""
    small = PRESETS["8 GB"]
    assert {(PRESETS[name].width, PRESETS[name].height) for name in ("12 GB", "8 GB")} == {(832, 480)}
    assert footprint().device_bytes < 10.3 * GB
    assert footprint(small.settings, weights=IN_FP8).device_bytes < 6.7 * GB
    # neither is enough alone
    assert footprint(small.settings).device_bytes + HEADROOM > 8 * GB
    assert footprint(weights=IN_FP8).device_bytes + HEADROOM > 8 * GB


def test_what_cannot_leave_the_device_is_all_but_weights():
    for told in (footprint(), footprint(streamed=False)):
        vae = 0 if told.decode is None else told.decode.weights
        assert told.fixed_bytes == told.device_bytes - told.weights - vae > 4 * GB


def test_a_cache_in_fp8_is_told():
    told = footprint(MemoryConfig(cache="fp8"), weights=IN_FP8).told()
    assert told["lines"][2].endswith("GB, the VAE 2.0 GB, memory 2.3 GB in FP8, work 1.0 GB).")
    assert told["said"][3][4] == ["{0} in FP8", "2.3 GB"]


def test_presets_are_what_they_are_called():
    usual, sharp, draft = MEMORIES["Story"], MEMORIES["Sharper memory"], PRESETS["Draft"]
    # more often, and yet it takes longer until moments that nobody asks for have pushed out all others
    assert sharp.bank_frames > usual.bank_frames and sharp.record_every < usual.record_every
    assert sharp.bank_frames * sharp.record_every > usual.bank_frames * usual.record_every
    assert {sharp.retrieval, sharp.window_frames, sharp.sink_frames} == {"prompt", 9, 3}
    full = PRESETS["12 GB"]
    assert draft.width * draft.height < full.width * full.height and len(draft.steps) < len(full.steps)
    assert MEMORIES[PRESETS["Official MemFlow"].memory].retrieval == "reference"
    for preset in PRESETS.values():
        assert preset.width % 16 == preset.height % 16 == 0 and preset.memory in MEMORIES
        for name, value in preset.widgets.items():
            said = f"{value:g}" if isinstance(value, float) else str(value)
            assert said in str(preset.words()), name


def test_the_words_of_a_memory_name_its_values():
    assert memory_words(MemoryConfig(top_k=3)) == (
        "window 9, sink 3, bank 3 by prompt, a moment offered every 3 chunks, each head reads 3 of 6"
    )
    assert memory_words(MEMORIES["Window only"]) == "window 9, no sink, no bank"


def test_the_help_pages_say_what_presets_set():
    memory, *samplers = (page_of(name) for name in PAGES)
    for name, values in MEMORIES.items():
        assert f"| {name} | {REASONS[name]} | {memory_words(values)} |" in memory
    for page in samplers:
        for name, preset in PRESETS.items():
            assert f"| {name} | {preset.words()} | {preset.reason} |" in page


def test_the_chinese_help_pages_have_the_same_values():
    memory, *samplers = (page_of(f"{name}/zh") for name in PAGES)
    for name, values in MEMORIES.items():
        said = cells(memory, name)[2]
        assert numbers(said) == numbers(memory_words(values)), name
        assert (values.retrieval in said) == bool(values.bank_slots)
    for page in samplers:
        for name, preset in PRESETS.items():
            said, reason = cells(page, name)[1:]
            assert numbers(said) == numbers(str(preset.words())) and numbers(reason) == numbers(preset.reason), name
            assert said.endswith(f"质量 {preset.quality}，记忆 {preset.remembers}")


def page_of(name: str) -> str:
    return (DOCS / f"MemFlow{name}.md").read_text(encoding="utf-8")


def cells(page: str, name: str) -> list[str]:
    """Of the row of a table that begins with this name."""
    row = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row[1:-1].split("|")]


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d+", text))
