"""What people read of a plan."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from memflow_core.config import MemoryConfig
from memflow_core.estimate import Decode
from tests.core.footprints import IN_FP8, STORY, footprint


@pytest.fixture
def read(pack):
    """read(footprint) -> summary, lines and messages for the page, of a model that has a name."""
    run = pack.nodes.run
    name = run.messages.message("a 1.3B model in {0}", "bfloat16")
    return lambda made, named=True: json.loads(json.dumps(run.plan_json(made, name if named else None)))


def test_what_people_read(read):
    shown = read(footprint(text=f"pin hero: 3s\n{STORY}"))
    assert shown["summary"] == "59.81 s, about 10.2 GB of VRAM"
    assert shown["lines"] == [
        "59.81 s: 957 video frames in 80 chunks, 402 passes through the model.",
        "Prompts change at 10.31 s (recache), 20.06 s (cut), 40.31 s (recache).",
        "VRAM at the peak: about 10.2 GB (a 1.3B model in bfloat16 2.6 GB, the VAE 2.0 GB, memory 4.6 GB, work "
        "1.0 GB).",
        "RAM beside the models' files: about 6.7 GB (the state 6.3 GB, named pins 0.3 GB, pictures 82 MB).",
    ]
    memory = MemoryConfig(bank_keys="alone", archive="latents")
    assert read(footprint(memory))["lines"][-1] == (
        "Archive: 27 moments at the end, 10 MB of RAM, and as much in each state; at most 12 passes to read moments "
        "again."
    )
    assert read(footprint(memory, open_end=True))["lines"][-1].startswith("Archive: at most 27 moments, 10 MB of RAM")
    keys = MemoryConfig(archive="keys")
    assert read(footprint(keys))["lines"][-1] == "Archive: 27 moments at the end with their keys, 7.2 GB of RAM."
    assert read(footprint(keys, open_end=True))["lines"][-1].startswith("Archive: at most 27 moments with their keys")
    assert read(footprint(replace(keys, archive_gb=3)))["lines"][-1] == (
        "Archive: at most 27 moments, 3.0 GB of RAM; archive_gb has room for the keys of 11, and others are read anew: "
        "at most 9 passes."
    )
    latent = read(footprint(streamed=False), named=False)["lines"]
    assert "(the model 2.6 GB, memory 4.6 GB, work" in latent[2] and "all pictures 4.3 GB" in latent[3]


def test_messages_say_in_english_what_the_lines_say(read):
    """A text and its values, which the page fills in."""

    def filled(text, *values):
        return text.format(*(filled(*value) if isinstance(value, list) else value for value in values))

    for made in (
        footprint(),
        footprint(text=f"pin hero: 3s\n{STORY}", streamed=False),
        footprint(text="0s: a", frames=9),
        footprint(MemoryConfig(bank_keys="alone", archive="latents")),
        footprint(MemoryConfig(archive="keys")),
        footprint(MemoryConfig(archive="keys", archive_gb=1), open_end=True),
    ):
        shown = read(made)
        assert [filled(*message) for message in shown["said"]] == [shown["summary"], *shown["lines"]]


def test_the_precision_and_the_device_are_named(pack):
    run = pack.nodes.run
    shown = run.plan_json(footprint(), computes="bfloat16")
    assert shown["summary"] == "59.81 s, about 10.2 GB of VRAM (bfloat16)"
    shown = run.plan_json(footprint(open_end=True), computes="float32", on_cpu=True)
    assert shown["summary"].startswith("open end, about ") and shown["summary"].endswith("of RAM (float32 on the CPU)")
    assert any("float32" in line and "CPU" in line for line in shown["lines"])


def test_a_size_that_the_tiny_model_does_not_know_is_told(pack):
    run = pack.nodes.run
    assert run.tiny_size_messages(64, 64) == []
    (told,) = run.tiny_size_messages(832, 480)
    assert str(told) == "The tiny story model draws 64 x 64 pixels; at 832 x 480 it makes noise."


def test_many_switches_are_told_as_a_number(read):
    text = "\n".join(f"{4 * number}s: prompt {number}" for number in range(12))
    assert read(footprint(text=text))["lines"][1].endswith(" (recache); 5 more after that.")
    assert read(footprint(text="0s: a"))["lines"][1] == "One prompt all the way."


def test_an_open_end_has_no_length(read):
    shown = read(footprint(open_end=True))
    assert shown["lines"][0] == "Goes on until you press Finish now."
    assert shown["summary"].startswith("open end, about ")


def test_a_cache_in_fp8_is_named(read):
    shown = read(footprint(MemoryConfig(cache="fp8"), weights=IN_FP8))
    assert shown["lines"][2].endswith("GB, the VAE 2.0 GB, memory 2.3 GB in FP8, work 1.0 GB).")
    assert shown["said"][3][4] == ["{0} in FP8", "2.3 GB"]


def test_a_light_decoder_is_named(read):
    usual = footprint()
    light = replace(usual, decode=Decode.of(usual.shape, 0, 2, light=True))
    assert [line for line in read(light)["lines"] if "light decoder" in line]
    assert not [line for line in read(usual)["lines"] if "light decoder" in line]
