"""Widgets of MemFlow Memory out of JSON: what the node could not be set to is named."""

from __future__ import annotations

import pytest

from memflow_core.config import MEMORIES

CUSTOM = {"preset": "Custom", "retrieval": "fifo", "bank_size": 4, "record_interval": 2, "top_k": 0, "sink_size": 3}
CUSTOM |= {"window_size": 6, "positions": "auto", "global_sink": True}


@pytest.fixture
def run(pack):
    return pack.nodes.run


def test_unchecked_values_give_the_settings_that_the_node_gives(run):
    settings = run.memory_from_widgets({**CUSTOM, "cache": "fp8"})
    assert settings == run.memory_of(CUSTOM, cache="fp8")
    assert (settings.retrieval, settings.bank_frames, settings.top_k, settings.cache) == ("fifo", 4, None, "fp8")
    for name in MEMORIES:
        assert run.memory_from_widgets({"preset": name}) == run.memory_of({"preset": name}, cache="model")


def test_what_is_on_auto_is_left_to_the_model_and_what_is_left_out_is_not(run):
    """A prompt of before there was a choice asks for what it asked for then."""
    for preset in (CUSTOM, {"preset": "Story"}, {"preset": "Official MemFlow"}):
        settings = run.memory_from_widgets(preset)
        assert (settings.bank_keys, settings.archive) == ("made", "off")
        assert run.memory_from_widgets({**preset, "bank_keys": "auto", "archive": "auto"}).left == {
            "bank_keys",
            "archive",
        }
        assert run.memory_of(preset, archive="off", bank_keys="auto").left == {"bank_keys"}


def test_an_archive_goes_with_a_preset_and_with_own_settings(run):
    wanted = {"bank_keys": "alone", "archive": "latents", "archive_rule": "similarity"}
    for preset in (CUSTOM, {"preset": "Story"}, {"preset": "Sharper memory"}):
        settings = run.memory_from_widgets({**preset, **wanted})
        assert {name: getattr(settings, name) for name in wanted} == wanted
        assert settings == run.memory_of(preset, **wanted)


@pytest.mark.parametrize("preset", ["Official MemFlow", "Window only"])
def test_a_preset_that_would_ignore_an_archive_refuses_it(run, preset):
    with pytest.raises(ValueError, match="bank_keys is 'alone'|archive is 'latents'"):
        run.memory_of({"preset": preset}, bank_keys="alone", archive="latents")
    with pytest.raises(ValueError, match="bank_keys is 'alone'"):
        run.memory_of({"preset": preset}, bank_keys="alone")


def test_an_archive_of_keys_has_room(run):
    wanted = {"archive": "keys", "archive_rule": "keys", "archive_gb": 12.5}
    for preset in (CUSTOM, {"preset": "Story"}):
        settings = run.memory_from_widgets({**preset, **wanted})
        assert {name: getattr(settings, name) for name in wanted} == wanted
        assert settings == run.memory_of(preset, **wanted)
        # a number of JSON without a point
        assert run.memory_from_widgets({**preset, **wanted, "archive_gb": 12}).archive_gb == 12


@pytest.mark.parametrize("value", [0, -1.0, 0.05, 4097, "8", None, True, [8], float("nan"), float("inf")])
def test_room_that_no_widget_takes_is_named(run, value):
    with pytest.raises(ValueError, match="^memory archive_gb is .*, but must be a number from 0.1 to 4096"):
        run.memory_from_widgets({**CUSTOM, "archive": "keys", "archive_gb": value})


@pytest.mark.parametrize("others", [{}, {"archive": "latents", "bank_keys": "alone"}])
def test_room_for_keys_that_are_not_kept_is_refused(run, others):
    with pytest.raises(ValueError, match="archive_gb is 16.0, but archive is .*: set archive to 'keys'"):
        run.memory_of({"preset": "Story"}, archive_gb=16.0, **others)


def test_admission_and_look_ahead_go_with_a_preset_and_with_own_settings(run):
    for preset in ({**CUSTOM, "retrieval": "similarity"}, {"preset": "Story"}, {"preset": "Sharper memory"}):
        settings = run.memory_from_widgets({**preset, "admission": "novelty", "look_ahead": True})
        assert (settings.admission, settings.look_ahead) == ("novelty", True)
        assert settings == run.memory_of(preset, admission="novelty", look_ahead=True)
        usual = run.memory_from_widgets({**preset, "admission": "clock", "look_ahead": False})
        assert usual == run.memory_from_widgets(preset)


@pytest.mark.parametrize("preset", ["Official MemFlow", "Window only"])
@pytest.mark.parametrize("name, value", [("admission", "novelty"), ("look_ahead", True)])
def test_a_preset_that_would_ignore_them_refuses_them(run, preset, name, value):
    with pytest.raises(ValueError, match=f"^memory {name} is .*(choose|set) "):
        run.memory_of({"preset": preset}, **{name: value})


def test_the_plan_says_what_the_bank_does_otherwise(run):
    said = [str(line) for line in run.told_of_memory(run.memory_of({"preset": "Story"}))]
    assert said == []
    both = run.memory_of({"preset": "Story"}, admission="novelty", look_ahead=True)
    said = [str(line) for line in run.told_of_memory(both)]
    assert len(said) == 2 and "look new" in said[0] and "no moments are kept" in said[1]


def test_a_rule_without_an_archive_is_refused(run):
    with pytest.raises(ValueError, match="archive_rule is 'keys', but archive is 'off'"):
        run.memory_of({"preset": "Story"}, archive_rule="keys")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bank_size", 65),
        ("bank_size", 3.0),
        ("bank_size", True),
        ("top_k", -1),
        ("window_size", 0),
        ("retrieval", "best"),
        ("retrieval", ["fifo"]),
        ("positions", None),
        ("global_sink", 1),
        ("cache", "int4"),
        ("bank_keys", True),
        ("archive", "key"),
        ("archive", True),
        ("archive_rule", None),
        ("admission", "never"),
        ("admission", None),
        ("look_ahead", "on"),
        ("look_ahead", 1),
        ("look_ahead", None),
    ],
)
def test_a_value_that_no_widget_takes_is_named(run, name, value):
    with pytest.raises(ValueError, match=f"^memory {name} is .*, which MemFlow Memory cannot be set to"):
        run.memory_from_widgets({**CUSTOM, name: value})


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("all", None),
        (" All ", None),
        ("", None),
        ("0", (0,)),
        ("10-12", (10, 11, 12)),
        (" 5, 0 ,1 - 3 ", (0, 1, 2, 3, 5)),
        ("3,3,2-4", (2, 3, 4)),
    ],
)
def test_layers_are_numbers_and_ranges(run, text, layers):
    assert run.memory_of({"preset": "Story"}, bank_layers=text).bank_layers == layers
    assert run.memory_from_widgets({**CUSTOM, "bank_layers": text}).bank_layers == layers


@pytest.mark.parametrize("text", ["none", "-1", "3-1", "1.5", "1,,2", "0-99999", "1000", "a-b", "1 2"])
def test_what_names_no_layers_is_refused(run, text):
    with pytest.raises(ValueError, match="bank_layers is .*, which names no layers: write all"):
        run.memory_of({"preset": "Story"}, bank_layers=text)


@pytest.mark.parametrize("value", [5, None, True, ["all"]])
def test_layers_come_as_a_text(run, value):
    with pytest.raises(ValueError, match="bank_layers is .*, which MemFlow Memory cannot be set to"):
        run.memory_from_widgets({**CUSTOM, "bank_layers": value})


@pytest.mark.parametrize("preset", ["Official MemFlow", "Window only"])
def test_a_preset_that_would_ignore_layers_refuses_them(run, preset):
    with pytest.raises(ValueError, match="bank_layers"):
        run.memory_of({"preset": preset}, bank_layers="0-3")
