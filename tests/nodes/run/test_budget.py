"""A run that does not fit on its device is refused before its first chunk; how much there is comes from a stub."""

from __future__ import annotations

import pytest

from memflow_core.estimate import GB


@pytest.fixture
def room(tiny, monkeypatch):
    """Call it with the bytes that ComfyUI is to find on the device."""
    return lambda size: monkeypatch.setattr(tiny.nodes.host, "room", lambda model: size)


@pytest.fixture
def logged(tiny, monkeypatch) -> list[str]:
    """Lines of the log."""
    lines: list[str] = []
    monkeypatch.setattr(tiny.nodes.host, "log", lines.append)
    return lines


def footprint(tiny, **changes):
    """Of a run of the tiny model that does not take place."""
    request = tiny.nodes.run.request.Request(tiny.model, tiny.schedule(), seed=7, **(SIZES | changes))
    return tiny.nodes.run.estimate.estimate_run(request, tiny.nodes.run.request.prepare(request), None)


SIZES = {"width": 64, "height": 64, "length": 45, "fps": 16.0, "steps": "1000, 500", "shift": 5.0}


def test_the_cpu_is_no_device_with_a_budget(tiny):
    assert tiny.nodes.host.room(tiny.model) is None


def test_what_fits_is_sampled_without_a_word(tiny, room, logged):
    room(footprint(tiny).device_bytes)
    # what memory on auto became is always told
    assert tiny.sample()[0].shape[2] == 12 and [line[:14] for line in logged] == ["Memory on auto"]


def test_weights_that_do_not_fit_are_a_slowdown_in_the_log(tiny, room, logged):
    estimate = footprint(tiny)
    room(estimate.fixed_bytes)
    assert tiny.sample()[0].shape[2] == 12
    *_, line = logged
    assert line.startswith(f"About {estimate.weights / 2**20:.0f} MB of weights do not fit into the ") and "FP8" in line


def test_a_cache_that_does_not_fit_is_an_error_before_the_first_chunk(tiny, room):
    story = tiny.nodes.run.memory_of({"preset": "Story"}, bank_keys="auto", archive="auto")
    big = {"width": 832, "height": 480, "memory": story}
    estimate = footprint(tiny, **big)
    room(estimate.fixed_bytes - 1)
    with pytest.raises(ValueError, match=r"^the run needs about \S+ .B of VRAM beside all weights, but") as error:
        tiny.sample(**big)
    # as large a picture as before, remembered in half as much
    assert str(error.value).endswith("choose the preset '8 GB'.")


def test_the_largest_preset_that_fits_is_named(tiny, room):
    big = {"width": 1280, "height": 720}
    room(footprint(tiny, width=832, height=480).fixed_bytes)
    with pytest.raises(ValueError, match="choose the preset '12 GB'"):
        tiny.sample(**big)
    room(footprint(tiny, width=480, height=272).fixed_bytes)
    with pytest.raises(ValueError, match="choose the preset 'Draft'"):
        tiny.sample(**big)


def test_without_a_preset_that_fits_it_says_what_to_make_smaller(tiny, room):
    room(1000)
    with pytest.raises(ValueError, match=r"can free no more than 0 MB on this device: make the picture, or the window"):
        tiny.sample()


def test_a_story_that_goes_on_has_to_start_anew(tiny, room):
    _, state, _ = tiny.sample()
    room(1000)
    with pytest.raises(ValueError, match="a story that goes on keeps its size, so start it anew"):
        tiny.sample(state=state, length=12)


def test_comfyui_makes_room_for_what_the_plan_says(tiny, monkeypatch):
    import comfy.model_management as management

    asked, load = [], management.load_models_gpu
    monkeypatch.setattr(management, "pytorch_attention_flash_attention", lambda: True)
    monkeypatch.setattr(
        management, "load_models_gpu", lambda models, memory_required=0: asked.append(memory_required) or load(models)
    )
    tiny.sample()
    # the text encoder is loaded too, and asks for nothing
    assert max(asked) == footprint(tiny).fixed_bytes < GB
