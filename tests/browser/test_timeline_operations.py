"""The timeline's edits of schedule text: each rewrites only what it must, and the core reads the result alike."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memflow_core.schedule import ChunkGrid, Time, read_schedule
from tests.browser.timeline_text import FPS, compare, fuzz

STORY = """# my story
global: a red robot
0s: it walks
    in a meadow
# then
4s [cut] [seed 7]: the beach

# the end
0:08: it returns"""


def changed(timeline, text: str, operation: str, *values: object, frames: int | None = None) -> str:
    answer = timeline(text, operation, values, frames)
    assert "text" in answer, answer
    compare(timeline, answer["text"])
    return answer["text"]


@pytest.mark.parametrize(
    ("operation", "values", "before", "after"),
    [
        ("retimeBy", (1, 1), "4s [cut]", "5.06s [cut]"),
        ("retimeBy", (2, -1), "0:08:", "0:07.31:"),
        ("retime", (1, 5.3, True), "4s [cut]", "5.31s [cut]"),
        ("setPrompt", (1, "the sea"), "7]: the beach", "7]: the sea"),
        ("setPrompt", (0, "it runs"), "0s: it walks\n    in a meadow", "0s: it runs"),
        ("setPrompt", (2, '"so"\n[x]'), "it returns", '"\\"so\\"\\n[x]"'),
        ("setSwitch", (1, "soft"), "[cut]", "[soft]"),
        ("setSwitch", (1, "recache"), " [cut]", ""),
        ("setSwitch", (2, "cut"), "0:08:", "0:08 [cut]:"),
        ("setSeed", (1, ""), " [seed 7]", ""),
        ("setSeed", (1, "18446744073709551615"), "[seed 7]", "[seed 18446744073709551615]"),
        ("setSeed", (0, "3"), "0s:", "0s [seed 3]:"),
        ("setGlobal", ("a blue cat", 0), "global: a red robot", "global: a blue cat"),
        ("setGlobal", ("", 0), "global: a red robot\n", ""),
        ("remove", (1,), "4s [cut] [seed 7]: the beach\n", ""),
        ("split", (0, 2), "    in a meadow", "    in a meadow\n2.06s [recache]: it walks in a meadow"),
        ("append", (), "it returns", 'it returns\n0:13.31: ""'),
    ],
)
def test_an_edit_rewrites_only_what_it_must(timeline, operation, values, before, after):
    assert STORY.count(before) == 1
    assert changed(timeline, STORY, operation, *values) == STORY.replace(before, after)


@pytest.mark.parametrize(
    ("operation", "values", "before", "after"),
    [
        ("setSwitch", (2, "blend"), "0:08:", "0:08 [blend]:"),
        ("setSwitch", (1, "blend", "3s", True), "[cut]", "[blend 3s spherical]"),
        ("addPin", (2, "hero", 0), "global: a red robot", "global: a red robot\npin hero: 2s"),
    ],
)
def test_blends_and_pins_are_written_too(timeline, operation, values, before, after):
    test_an_edit_rewrites_only_what_it_must(timeline, operation, values, before, after)


def test_without_a_pin_nobody_asks_for_it(timeline):
    text = changed(timeline, "# c\npin hero: 2s\npin dog: 1s\n0s: a\n5s [hero] [cut]: b", "setAsks", 1, ["dog", "hero"])
    assert text.endswith("5s [dog] [hero] [cut]: b")
    assert changed(timeline, text, "removePin", 0, 0) == "# c\npin dog: 1s\n0s: a\n5s [dog] [cut]: b"


def test_a_segment_moves_with_its_comment_and_keeps_its_length(timeline):
    moved = changed(timeline, STORY, "move", 1, 0)
    expected = ["# my story", "global: a red robot", "# then", "0s [cut] [seed 7]: the beach"]
    assert moved.split("\n")[:5] == [*expected, "3.56s: it walks"]
    assert timeline(moved)["chunks"] == [0, 5, 11]
    # the times come back as they really fell
    again = changed(timeline, moved, "move", 1, 0)
    assert timeline(again)["chunks"] == timeline(STORY)["chunks"] == [0, 6, 11]


def test_a_copy_pushes_the_later_ones_back(timeline):
    answer = timeline(STORY, "duplicate", [0])
    assert [prompt for _, _, prompt, *_ in answer["segments"]] == ["it walks in a meadow"] * 2 + [
        "the beach",
        "it returns",
    ]
    assert answer["chunks"] == [0, 6, 12, 17] and answer["focus"] == 1


def test_without_the_first_the_second_starts_the_story(timeline):
    text = changed(timeline, STORY, "remove", 0)
    assert "0s [cut] [seed 7]: the beach" in text and "# my story" in text and timeline(text)["chunks"] == [0, 11]
    assert timeline("0s: a", "remove", [0]) == {"nothing": True}


def test_a_list_becomes_lines_where_its_prompts_fell(timeline):
    text = changed(timeline, "a | b\n# mine\n| c", "setPrompt", 1, "B", frames=153)
    assert text == "0s: a\n3.56s: B\n6.56s: c\n# mine"
    plan = read_schedule("a | b | c").place(ChunkGrid(), Time(153, "frames"))
    assert timeline(text)["chunks"] == [placed.start_chunk for placed in plan.segments]


def test_a_prompt_is_added_behind_the_end_of_a_short_story(timeline):
    assert changed(timeline, "0s: a", "append", frames=81).split("\n")[1] == '5.06s: ""'
    assert changed(timeline, "0s: a", "append", frames=9).split("\n")[1] == '0.56s: ""'
    assert changed(timeline, "length: 4s\n0s: a", "append").split("\n") == ["length: 9.56s", "0s: a", '4.31s: ""']


def test_the_end_is_written_where_the_text_says_it(timeline):
    assert changed(timeline, "# c\nlength: 0:04\n0s: a", "setEnd", 9, 0) == "# c\nlength: 0:08.81\n0s: a"
    assert changed(timeline, "0s: a", "setEnd", 9, 0, frames=81) == "0s: a"
    assert timeline("0s: a", "setEnd", [9, 0]) == {"nothing": True}


def test_what_cannot_be_played_is_said(timeline):
    assert timeline("0s: a\n4s: b\n4.1s: c")["problems"][2].startswith("Prompts 2 and 3 both start")
    assert timeline("0s: a\n6s: b", frames=81)["problems"] == ["", ""]
    assert timeline('0s: a\n6s: ""')["problems"] == ["", "Prompt 2 is empty: write it."]
    assert timeline('global: x\n0s: a\n6s: ""')["problems"] == ["", ""]


prompt_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12).filter(
    lambda text: text.strip()
)
options = st.sampled_from(["", " [cut]", " [soft][seed 7]", "[seed 5]"])
units = st.sampled_from(["s", "f", "c", " frames", " sec"])


@st.composite
def stories(draw) -> tuple[str, list[str]]:
    """A text, and its prompts: every start on a chunk of its own, comments and line breaks in between."""
    chunk, lines, prompts = 0, ["# top"] * draw(st.booleans()), []
    for _ in range(draw(st.integers(1, 5))):
        unit = draw(units)
        start = ChunkGrid().start_px(chunk)
        number = {"s": start / FPS, "c": chunk, " sec": start / FPS}.get(unit, start)
        # the same prompt again holds the one before it
        prompt = draw(prompt_texts.filter(lambda text: text not in prompts))
        lines.append(f"{number:g}{unit}{draw(options)}: {json.dumps(prompt)}")
        lines += draw(st.lists(st.sampled_from(["", "# note", "  # indented"]), max_size=2))
        prompts.append(prompt)
        chunk += draw(st.integers(1, 9))
    return "\n".join(lines), prompts


def starts(text: str, chunks: int = 200) -> list[int]:
    return [s.start_chunk for s in read_schedule(text).place(ChunkGrid(), Time(chunks, "chunks")).segments]


def segment_texts(text: str) -> list[str]:
    return [segment.prompt for segment in read_schedule(text).segments]


def comments(text: str) -> list[str]:
    return sorted(line.strip() for line in text.split("\n") if line.strip().startswith("#"))


@fuzz
@given(stories(), st.data())
def test_operations_do_to_the_story_what_they_say(timeline, story, data):
    text, prompts = story
    index = data.draw(st.integers(0, len(prompts) - 1))
    to = data.draw(st.integers(0, len(prompts) - 1))
    before = starts(text)
    lasting = [b - a for a, b in pairwise(before)]

    moved = timeline(text, "move", [index, to])
    if index != to:
        assert segment_texts(moved["text"]) == [
            *(order := prompts[:index] + prompts[index + 1 :])[:to],
            prompts[index],
            *order[to:],
        ]
        assert comments(moved["text"]) == comments(text)
        after = starts(moved["text"])
        if max(index, to) < len(prompts) - 1:
            assert sorted(b - a for a, b in pairwise(after)) == sorted(lasting)

    removed = timeline(text, "remove", [index])
    if len(prompts) > 1:
        assert segment_texts(removed["text"]) == prompts[:index] + prompts[index + 1 :]
        assert starts(removed["text"]) == [0, *(before[:index] + before[index + 1 :])[1:]]
        assert comments(removed["text"]) == comments(text)

    copied = timeline(text, "duplicate", [index])
    assert segment_texts(copied["text"]) == prompts[: index + 1] + prompts[index:]
    later = timeline(text, "retimeBy", [index, 1])
    if "text" in later:
        assert starts(later["text"]) == [*before[:index], before[index] + 1, *before[index + 1 :]]
    written = data.draw(prompt_texts.filter(lambda text: text not in prompts))
    edited = timeline(text, "setPrompt", [index, written])
    if "text" in edited:
        assert segment_texts(edited["text"]) == [*prompts[:index], written, *prompts[index + 1 :]]
        assert starts(edited["text"]) == before and comments(edited["text"]) == comments(text)
