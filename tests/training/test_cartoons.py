"""The cartoon data set: stories hold what they promise, and identities can be read back from pixels."""

from __future__ import annotations

import colorsys
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from memflow_core.schedule import read_schedule
from training.cartoons import (
    ACCESSORIES,
    ACTIONS,
    BODIES,
    IDENTITIES,
    KINDS,
    LONG_ABSENCE,
    PATTERNS,
    PLANS,
    SCENES,
    SIZE,
    Identity,
    Placement,
    Pose,
    Shot,
    background,
    identify,
    identity_templates,
    parse_prompt,
    placements,
    prompt_variants,
    render,
    sample_story,
    start_frame,
    story_from_prompts,
    vocabulary,
)

ROOT = Path(__file__).resolve().parents[2]
SEEDS = range(60)
STANDING = Placement(SIZE // 2)


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


# -- stories ---------------------------------------------------------------------------------------------------------


def test_a_seed_is_a_story():
    story = sample_story(7)
    assert story == sample_story(7)
    assert np.array_equal(render(story), render(sample_story(7)))
    assert len({repr(sample_story(seed)) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("plan", PLANS)
def test_segments_follow_each_other(plan):
    for seed in SEEDS:
        story = sample_story(seed, plan)
        assert 3 <= len(story.segments) <= 8
        assert [s.start_chunk for s in story.segments] == [0] + [s.end_chunk for s in story.segments[:-1]]
        assert all(s.end_chunk - s.start_chunk >= 4 for s in story.segments)


@pytest.mark.parametrize("plan", PLANS)
def test_prompts_name_what_is_shown_and_which_character_is_new(plan):
    for seed in SEEDS:
        seen = ()
        for segment in sample_story(seed, plan).segments:
            assert segment.prompt in prompt_variants(segment.shot, seen)
            assert parse_prompt(segment.prompt) == segment.shot
            for kind in segment.cast:
                assert f"{'the' if kind in seen else 'a'} {kind}" in segment.prompt
            seen += segment.cast


@pytest.mark.parametrize("plan", [plan for plan in PLANS if plan != "wander"])
def test_the_hero_comes_back_after_a_long_absence_with_another_character_in_between(plan):
    for seed in SEEDS:
        story = sample_story(seed, plan)
        last = len(story.segments) - 1
        back = [event for event in story.reappearances() if event.segment == last]
        assert back and all(event.away_chunks >= LONG_ABSENCE for event in back)
        hero = back[0].kind
        first, *_ = (n for n, s in enumerate(story.segments) if hero in s.cast)
        between = [s.cast for s in story.segments[first + 1 : last] if hero not in s.cast]
        assert () in between and any(between)
        assert (first == 0) == (plan == "opening")


def test_a_character_that_stays_in_a_place_does_something_else_there_or_leaves_it():
    stayed = set()
    for story in map(sample_story, range(400)):
        for before, after in pairwise(story.segments):
            if len(after.cast) == 1 and (after.scene, after.cast) == (before.scene, before.cast):
                stayed.add((before.action, after.action))
    assert all(before == "leaves" or after not in (before, "enters", "returns") for before, after in stayed)
    assert {("stands", "waves"), ("enters", "jumps"), ("across", "leaves")} <= stayed


def test_each_plan_and_every_identity_turn_up():
    stories = [sample_story(seed) for seed in range(400)]
    assert {identity for story in stories for identity in story.identities.values()} == set(IDENTITIES)
    assert {segment.action for story in stories for segment in story.segments} == set(ACTIONS)


def test_an_unknown_plan_is_an_error():
    with pytest.raises(ValueError, match="'lost', but must be one of late, "):
        sample_story(0, "lost")


# -- prompts ---------------------------------------------------------------------------------------------------------


def test_no_word_gives_an_identity_away():
    assert not {*BODIES, *ACCESSORIES, *PATTERNS} & set(vocabulary())


@pytest.mark.parametrize("name", ["tiny_story", "node_by_node"])
def test_the_shipped_workflows_can_be_drawn(name):
    nodes = json.loads((ROOT / "workflows" / f"{name}.json").read_text())["nodes"]
    prompts = [node["widgets_values"][0] for node in nodes if node["type"] == "CLIPTextEncode"]
    for node in nodes:
        if node["type"] == "MemFlowPromptSchedule":
            prompts += [segment.prompt for segment in read_schedule(node["widgets_values"][0]).segments]
    assert len(prompts) >= 3
    for prompt in prompts:
        parse_prompt(prompt)


@pytest.mark.parametrize(
    ("prompt", "shot"),
    [
        ("a robot walks across the meadow", ("meadow", ("robot",), "across")),
        ("The beach lies  empty", ("beach", (), "empty")),
        ("the robot returns to the meadow", ("meadow", ("robot",), "returns")),
        ("the robot and the cat meet on the beach", ("beach", ("robot", "cat"), "meet")),
    ],
)
def test_a_prompt_is_read_as_its_shot(prompt, shot):
    assert parse_prompt(prompt) == shot


def test_a_prompt_without_a_picture_is_an_error():
    with pytest.raises(ValueError, match=r"'a robot sings'.*walks across the meadow"):
        story_from_prompts([("a robot sings", 4)])


# -- pictures --------------------------------------------------------------------------------------------------------


def test_a_part_is_the_same_as_in_the_whole():
    story = sample_story(3)
    whole = render(story)
    assert whole.shape == (story.frames, SIZE, SIZE, 3) and whole.dtype == np.uint8
    assert np.array_equal(render(story, 30, 77), whole[30:77])
    with pytest.raises(IndexError, match=f"which has {story.frames}"):
        render(story, story.frames, story.frames + 1)


def test_chunk_0_has_9_pictures_and_every_later_one_12():
    assert [start_frame(chunk) for chunk in range(4)] == [0, 9, 21, 33]
    assert sample_story(1).frames == start_frame(sample_story(1).chunks)


def test_scenes_change_at_the_first_picture_of_a_chunk_and_nowhere_else():
    story = story_from_prompts([("an empty meadow", 4), ("a cat walks right in the city", 5), ("an empty beach", 4)])
    pictures = render(story)
    jumps = [frame for frame in range(1, len(pictures)) if _difference(pictures[frame], pictures[frame - 1]) > 25]
    assert jumps == [start_frame(4), start_frame(9)]


@pytest.mark.parametrize("action", [action for action in ACTIONS if action != "meet"])
def test_a_segment_looks_the_same_wherever_it_starts(action):
    prompt = prompt_variants(Shot("snow", () if action == "empty" else ("bird",), action))[0]
    first = render(story_from_prompts([(prompt, 6)]))
    later = render(story_from_prompts([("an empty beach", 5), (prompt, 6)]))[start_frame(5) :]
    assert np.array_equal(first, later[3:])


@pytest.mark.parametrize("action", ["across", "right", "left", "enters", "returns", "leaves", "jumps", "waves"])
def test_a_character_that_acts_moves_and_stays_in_its_scene(action):
    prompt = prompt_variants(Shot("meadow", ("robot",), action))[0]
    pictures = render(story_from_prompts([(prompt, 3)]))
    assert all(_difference(one, other) > 0 for one, other in zip(pictures[:-3], pictures[3:], strict=True))
    assert all(_difference(picture, background("meadow")) < 30 for picture in pictures)


def test_a_character_that_leaves_is_gone_and_two_that_meet_are_there():
    gone = render(story_from_prompts([("the cat leaves the beach", 6)]))
    assert _difference(gone[0], background("beach")) > 5 > 1 > _difference(gone[-1], background("beach"))
    met = story_from_prompts([("the robot and the cat meet on the beach", 4)], {"cat": Identity(4, 1, 2)})
    frame = met.frames - 1
    for kind, where in zip(("robot", "cat"), placements(met.segments[0], frame), strict=True):
        match = identify(render(met)[frame], "beach", kind, where)
        assert match.is_present() and match.identity == met.identities[kind]


# -- identities ------------------------------------------------------------------------------------------------------


def test_there_are_120_identities_with_hues_far_apart():
    assert len(set(IDENTITIES)) == 120
    assert [Identity.from_number(number) for number in range(120)] == list(IDENTITIES)
    hues = sorted(colorsys.rgb_to_hsv(*colour)[0] * 360 for colour in BODIES.values())
    gaps = np.diff([*hues, hues[0] + 360])
    assert gaps.min() > 40


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scene", SCENES)
def test_every_identity_is_read_back_through_noise(kind, scene):
    noise = np.random.default_rng(5)
    prompt = prompt_variants(Shot(scene, (kind,), "stands"))[0]
    for identity in IDENTITIES[::7]:
        picture = render(story_from_prompts([(prompt, 4)], {kind: identity}), 9, 10)[0]
        match = identify(picture + noise.normal(0, 30, picture.shape), scene, kind, STANDING)
        assert match.identity == identity and match.is_present()


def test_any_two_identities_differ_by_more_than_a_good_decoder_errs():
    for kind in KINDS:
        drawn, alpha = identity_templates(kind, Pose())
        flat = drawn.reshape(len(drawn), -1) / (255 * np.sqrt(3 * alpha.sum()))
        squared = (flat**2).sum(1)
        distance = squared[:, None] + squared - 2 * flat @ flat.T + 9 * np.eye(len(flat))
        assert distance.min() > 0.01  # 20 dB over the character's pixels


@pytest.mark.parametrize("scene", SCENES)
def test_no_character_is_found_in_an_empty_scene_nor_in_grey(scene):
    for picture in (background(scene), np.full((SIZE, SIZE, 3), background(scene).mean())):
        for kind in KINDS:
            assert not identify(picture, scene, kind, STANDING).is_present()


def test_a_character_off_its_place_is_found_within_reach():
    picture = render(story_from_prompts([("a ghost stands in the city", 4)], {"ghost": IDENTITIES[50]}), 9, 10)[0]
    match = identify(picture, "city", "ghost", Placement(SIZE // 2 - 2, 1), reach=2)
    assert match.identity == IDENTITIES[50] and match.offset == (2, -1) and match.error < 1e-3


def test_a_picture_of_another_shape_or_without_the_place_is_refused():
    with pytest.raises(ValueError, match=r"shape \[64, 64\]"):
        identify(np.zeros((64, 64)), "city", "cat", STANDING)
    with pytest.raises(ValueError, match="the cat is outside the picture at column 90"):
        identify(np.zeros((64, 64, 3)), "city", "cat", Placement(90))
