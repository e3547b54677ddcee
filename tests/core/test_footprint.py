"""Bytes that a run holds on the device and in RAM, beside its stream too."""

from __future__ import annotations

import json
from dataclasses import replace

from memflow_core.estimate import GB, Decode
from tests.core.footprints import footprint


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


def test_a_light_decoder_takes_less():
    usual = footprint()
    light = Decode.of(usual.shape, 0, 2, light=True)
    assert light.work < usual.decode.work / 3 and light.carry < usual.decode.carry / 20


def test_device_and_ram_are_the_sums_of_what_they_hold():
    file, latent = footprint(), footprint(streamed=False)
    held = file.estimate
    # a decode and a pass through the model never run at once, and the decode is the larger here
    assert file.device_bytes == (
        file.weights + held.cache_bytes + held.candidate_bytes + held.prompt_bytes + file.decode.weights
        + file.decode.carry + file.decode.work
    )  # fmt: skip
    assert latent.device_bytes == latent.weights + held.device_bytes < file.device_bytes
    # all pictures of a minute, or those of a chunk
    assert latent.picture_bytes == 957 * 832 * 480 * 12 and file.picture_bytes == 12 * 832 * 480 * (12 + 6)
    assert latent.ram_bytes == held.state_bytes + latent.picture_bytes
    assert file.ram_bytes == held.state_bytes + file.picture_bytes + file.decode.carry


def test_what_cannot_leave_the_device_is_all_but_weights():
    for made in (footprint(), footprint(streamed=False)):
        vae = 0 if made.decode is None else made.decode.weights
        assert made.fixed_bytes == made.device_bytes - made.weights - vae > 4 * GB


def test_it_is_fit_for_json():
    made = footprint(model="a 1.3B model in bfloat16")
    dumped = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert dumped["peak_vram_bytes"] == made.device_bytes and dumped["peak_ram_bytes"] == made.ram_bytes
    assert dumped["forwards"] == dumped["passes"] == replace(made, before=3).passes - 3
    assert (dumped["chunks"], dumped["model"]) == (80, "a 1.3B model in bfloat16")
