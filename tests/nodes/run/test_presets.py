"""Presets, and what people read of them and of the named memories."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memflow_core.config import MEMORIES, MemoryConfig
from memflow_core.estimate import GB
from memflow_core.profiles import PROFILES
from tests.core.footprints import IN_BF16, IN_FP8, footprint

DOCS = Path(__file__).resolve().parents[3] / "web" / "docs"
PAGES = ("Memory", "Sampler", "StreamToVideo")
# what the desktop, the driver and torch's own reserve may take of a card
HEADROOM = 1.25 * GB


@pytest.fixture
def presets(pack):
    return pack.nodes.run.PRESETS


def test_a_preset_fits_on_the_card_that_it_names(presets):
    """A minute with three switches, streamed to a file by the 1.3B model, its text encoder gone."""
    for name, preset in presets.items():
        weights = IN_FP8 if preset.fp8_model else IN_BF16
        made = footprint(preset.settings, preset.width, preset.height, weights=weights)
        if preset.card_gb is not None:
            assert made.device_bytes + HEADROOM <= preset.card_gb * GB, name
            assert str(preset.card_gb) in f"{name} {preset.reason}"
            assert ("the model is loaded in FP8" in preset.reason) == preset.fp8_model


def test_the_size_that_the_models_were_trained_with_fits_on_small_cards(presets):
    """832 x 480: at most 12 GB in bfloat16, and 8 GB with weights and cache in FP8."""
    small = presets["8 GB"]
    assert {(presets[name].width, presets[name].height) for name in ("12 GB", "8 GB")} == {(832, 480)}
    assert footprint().device_bytes < 10.3 * GB
    assert footprint(small.settings, weights=IN_FP8).device_bytes < 6.7 * GB
    # neither is enough alone
    assert footprint(small.settings).device_bytes + HEADROOM > 8 * GB
    assert footprint(weights=IN_FP8).device_bytes + HEADROOM > 8 * GB


def test_presets_are_what_they_are_called(presets):
    usual, sharp, draft = MEMORIES["Story"], MEMORIES["Sharper memory"], presets["Draft"]
    # more often, and yet it takes longer until moments that nobody asks for have pushed out all others
    assert sharp.bank_frames > usual.bank_frames and sharp.record_every < usual.record_every
    assert sharp.bank_frames * sharp.record_every > usual.bank_frames * usual.record_every
    assert {sharp.retrieval, sharp.window_frames, sharp.sink_frames} == {"prompt", 9, 3}
    full = presets["12 GB"]
    assert draft.width * draft.height < full.width * full.height and len(draft.steps) < len(full.steps)
    assert MEMORIES[presets["Official MemFlow"].memory].retrieval == "reference"
    for preset in presets.values():
        assert preset.width % 16 == preset.height % 16 == 0 and preset.memory in MEMORIES
        for name, value in preset.widgets.items():
            written = f"{value:g}" if isinstance(value, float) else str(value)
            assert written in str(preset.words()), name


def test_the_words_of_a_memory_name_its_values(pack):
    words = pack.nodes.run.memory_words
    assert words(MemoryConfig(top_k=3)) == (
        "window 9, sink 3, bank 3 by prompt, a moment offered every 3 chunks, each head reads 3 of 6"
    )
    assert words(MEMORIES["Window only"]) == "window 9, no sink, no bank"
    assert words(PROFILES["LongLive 2"].memory) == "window 16, sink 8, bank 8 by shots"
    assert words(PROFILES["Reward Forcing"].memory) == "window 6, sink 3 as an average, no bank"


def test_the_help_pages_say_what_presets_set(pack, presets):
    run = pack.nodes.run
    memory, *samplers = (page_of(name) for name in PAGES)
    for name, values in MEMORIES.items():
        assert f"| {name} | {run.REASONS[name]} | {run.memory_words(values)} |" in memory
    for page in samplers:
        for name, preset in presets.items():
            assert f"| {name} | {preset.words()} | {preset.reason} |" in page


def test_the_chinese_help_pages_have_the_same_values(pack, presets):
    memory, *samplers = (page_of(f"{name}/zh") for name in PAGES)
    for name, values in MEMORIES.items():
        written = cells(memory, name)[2]
        assert numbers(written) == numbers(pack.nodes.run.memory_words(values)), name
        assert (values.retrieval in written) == bool(values.bank_slots)
    for page in samplers:
        for name, preset in presets.items():
            written, reason = cells(page, name)[1:]
            assert numbers(written) == numbers(str(preset.words())) and numbers(reason) == numbers(preset.reason), name
            assert written.endswith(f"质量 {preset.quality}，记忆 {preset.remembers}")


def page_of(name: str) -> str:
    return (DOCS / f"MemFlow{name}.md").read_text(encoding="utf-8")


def cells(page: str, name: str) -> list[str]:
    """Of the row of a table that begins with this name."""
    row = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in row[1:-1].split("|")]


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d+", text))
