"""Memory that is left to the model: each profile's best, where the other settings allow it, and never a refusal."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

import memflow_core as mf
from memflow_core.config import ADMISSIONS, ARCHIVE_RULES, CACHES, RETRIEVALS, MemoryConfig
from memflow_core.profiles import OPEN_SETTINGS, PROFILES, OpenMemory, left_open, settled

TINY = PROFILES["Tiny story model"].memory
OTHERS = [profile.memory for name, profile in PROFILES.items() if name != "Tiny story model"]
BOTH = frozenset(OPEN_SETTINGS)
READ_ALONE = {"bank_keys": "alone", "archive": "latents"}


def open_values(memory: MemoryConfig) -> tuple[str, str]:
    return memory.bank_keys, memory.archive


def test_only_the_tiny_model_has_another_memory_than_was_published():
    assert open_values(TINY) == ("alone", "latents") and TINY.archive_rule == "words"
    for memory in OTHERS:
        assert open_values(memory) == ("made", "off")
        assert (memory.admission, memory.look_ahead) == ("clock", False)
    assert mf.MemoryConfig() == PROFILES["MemFlow"].memory == PROFILES["LongLive 1"].memory


def test_scripts_ask_for_a_models_best_by_its_file():
    assert mf.profile_of("models/tiny_story_generator.safetensors").memory == TINY
    assert mf.profile_of("base.pt", lora="memflow_lora.pt").memory == mf.MemoryConfig()
    assert mf.profile_of("models/krea-realtime-video-14b.safetensors") == PROFILES["Krea Realtime 14B"]
    with pytest.raises(ValueError, match="image-to-video"):
        mf.profile_of("wan2.1_i2v_480p_14B_fp16.safetensors")


def test_what_is_left_open_becomes_the_models_best():
    assert OpenMemory({}, BOTH).settled(TINY) == MemoryConfig(**READ_ALONE)
    for memory in OTHERS:
        assert OpenMemory({}, BOTH).settled(memory) == MemoryConfig()
    given = {"bank_frames": 6, "record_every": 2, "top_k": 3, "cache": "fp8", "admission": "novelty"}
    assert OpenMemory(given, BOTH).settled(TINY) == MemoryConfig(**given, **READ_ALONE)


def test_memory_that_is_left_open_as_a_whole_is_the_models():
    for best in (TINY, *OTHERS):
        assert OpenMemory({}, BOTH, whole=True).settled(best) == settled(None, best) == best
        assert OpenMemory({"cache": "fp8"}, BOTH, whole=True).settled(best) == replace(best, cache="fp8")
    paper = OpenMemory({"bank_keys": "made", "archive": "off"}, frozenset(), whole=True)
    assert paper.settled(TINY) == replace(TINY, bank_keys="made", archive="off")
    assert OpenMemory({"archive": "keys", "archive_gb": 2.0}, frozenset(["bank_keys"]), whole=True).settled(
        TINY
    ) == replace(TINY, bank_keys="made", archive="keys", archive_gb=2.0)


def test_what_does_not_fit_to_a_models_own_memory_is_said():
    ahead = OpenMemory({"look_ahead": True}, BOTH, whole=True)
    assert ahead.settled(TINY) == replace(TINY, look_ahead=True)
    with pytest.raises(ValueError, match="look_ahead is on, but retrieval 'shots'"):
        ahead.settled(PROFILES["LongLive 2"].memory)
    with pytest.raises(ValueError, match="archive is 'keys', but there is no bank"):
        OpenMemory({"archive": "keys"}, BOTH - {"archive"}, whole=True).settled(PROFILES["Reward Forcing"].memory)


# given, what that becomes for the tiny story model and for others
GIVEN = {
    "the published keys": ({"bank_keys": "made"}, ("made", "off"), ("made", "off")),
    "frames read alone": ({"bank_keys": "alone"}, ("alone", "latents"), ("alone", "off")),
    "no archive": ({"archive": "off"}, ("alone", "off"), ("made", "off")),
    "an archive of latents": ({"archive": "latents"}, ("alone", "latents"), ("alone", "latents")),
    "an archive of keys": ({"archive": "keys"}, ("made", "keys"), ("made", "keys")),
}


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_given_decides_what_the_rest_can_be(name):
    given, tiny, others = GIVEN[name]
    memory = OpenMemory(given, BOTH - given.keys())
    assert open_values(memory.settled(TINY)) == tiny
    assert {open_values(memory.settled(best)) for best in OTHERS} == {others}


@pytest.mark.parametrize("retrieval", RETRIEVALS)
def test_nothing_is_refused_that_the_paper_allows(retrieval):
    """With both left open, every mixture of other settings runs that runs with the paper's keys and no archive."""
    tried = 0
    mixtures = product((None, 3, 6), (0, 3), CACHES, ADMISSIONS, (False, True), (None, (0, 2)), ("first", "average"))
    for top_k, bank, cache, admission, ahead, layers, sink in mixtures:
        given = {"retrieval": retrieval, "top_k": top_k, "bank_frames": bank, "cache": cache, "admission": admission}
        given |= {"look_ahead": ahead, "bank_layers": layers, "sink": sink}
        try:
            paper = MemoryConfig(**given)
        except ValueError as error:
            with pytest.raises(ValueError) as refused:
                OpenMemory(given, BOTH)
            assert str(refused.value) == str(error)
            continue
        tried += 1
        memory = OpenMemory(given, BOTH)
        assert all(memory.settled(best) == paper for best in OTHERS)
        bank_used = retrieval not in ("none", "reference", "shots") and bank > 0
        assert open_values(memory.settled(TINY)) == (("alone", "latents") if bank_used else ("made", "off"))
    assert tried


@pytest.mark.parametrize("rule", ARCHIVE_RULES)
def test_a_rule_and_room_wait_for_an_archive(rule):
    memory = OpenMemory({"archive_rule": rule, "archive_gb": 2.5}, BOTH)
    assert memory.settled(MemoryConfig()) == MemoryConfig()
    assert memory.settled(TINY) == MemoryConfig(**READ_ALONE, archive_rule=rule)
    keys = memory.settled(MemoryConfig(archive="keys"))
    assert (keys.archive, keys.archive_rule, keys.archive_gb) == ("keys", rule, 2.5)


@pytest.mark.parametrize("keys, archive", [("made", "off"), ("made", "keys"), ("alone", "off"), ("alone", "latents")])
def test_a_state_goes_on_with_what_it_was_made_with(keys, archive):
    state = MemoryConfig(bank_keys=keys, archive=archive, bank_frames=4)
    assert settled(OpenMemory({"bank_frames": 4}, BOTH), state) == settled(None, state) == state


def test_a_misfit_of_given_settings_is_said_at_once():
    misfits = {"bank_keys": "alone", "retrieval": "none"}, {"top_k": 20}, {"bank_keys": "made", "archive": "latents"}
    for given in misfits:
        with pytest.raises(ValueError) as refused:
            OpenMemory(given, BOTH - given.keys())
        with pytest.raises(ValueError) as paper:
            MemoryConfig(**given)
        assert str(refused.value) == str(paper.value)


def test_what_is_left_open_can_be_told():
    assert left_open(MemoryConfig(), TINY) == frozenset()
    assert left_open(OpenMemory({"archive": "off"}, frozenset(["bank_keys"])), TINY) == {"bank_keys"}
    own = BOTH | {"sink_frames", "bank_frames", "record_every"}
    assert left_open(None, MemoryConfig()) == BOTH and left_open(None, TINY) == own
    whole = OpenMemory({"archive": "off", "bank_frames": 4}, frozenset(["bank_keys"]), whole=True)
    assert left_open(whole, TINY) == own - {"archive", "bank_frames"}
