"""The timeline's own reader and editor of schedule text, against memflow_core's: in node, or else in the page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memflow_core.schedule import read_schedule
from tests.browser.timeline_text import compare, fuzz

TEXTS = [
    "a robot",
    "0s: a\n4s: b\n8s: c",
    '# c\nglobal: red, "x"\nlength: 1:00\n\n0s: it\n   walks\n# then\n10s [cut] [seed 7]: a: b | c # d\n320f [soft]: e',
    'global: "two\\nlines"\n0s: "a\\nb"',
    "0: a\n160: b\n320f: c\n400 frames : d",
    "0c: a\n12c: b\n39l: c\n50%: d\n2min: e\n1:02.5: f\n1:00:05: g\n.5e2 sec: h",
    "a | b\n| c d | e",
    "a meadow\n10s: a beach",
    "lead\n# x\nmore\n3s: b",
    "16:9 wide shot",
    "0:10 [cut] robots walk",
    "0s:a\n0:10 [soft]:9 lives",
    "0s: a\n10s[cut][seed: 5] : b",
    "3 robots: one red",
    "80s neon city",
    "80s neon: city",
    "3x: city",
    '"Hello," it says',
    '"a | 10s: b"',
    '0s: "[cut] b",',
    '0s: "Hello," it says, "there"',
    "[wide] a robot",
    "10 [tall] robots walk",
    "0s [cut] walks",
    "0s: [cut] walks",
    "[soft]: walks",
    "0s: a\n[soft] walks",
    "5s: a",
    "0s: a\n0s: b",
    "0s: a\n5s: b\n4s: c",
    "0s: a\n5s: b\n40: c",
    "1:75: a",
    "0s: a\n1e400s: b",
    "0s: a\n1.5c: b",
    "0s: a\n150%: b",
    "length: 0\n0s: a",
    "length: 50%\n0s: a",
    "length: soon\n0s: a",
    "length: 5s\nlength: 6s\n0s: a",
    "global: a",
    "",
    "# only a comment",
    "a | | b",
    "0s: a\n5s [seed 18446744073709551615]: b",
    "0s: a\n5s [seed 18446744073709551616]: b",
    "0s: a\n5s [seed 007]: b",
    "0s: a\n5s [cut] [cut]: b",
    "0s: a\n5s [seed 1] [seed 2]: b",
    "0s: a\n5s [!]: b",
    "0s:\n5s: \n",
    "\ufeff0s: a\r\n5s: b\r\r\n  c\u2028d\n\x1c\x85 7s: e",
    '0s: "\\ud800"',
    "-1s: a",
    "+0s: a\n+5s: b",
    "0s: a\n\u0665s: b\n5:\u0669 c",
]
NEWER_TEXTS = [
    "0s: a\n5s [blend]: b\n9s [blend 6]: c\n20s [blend 8 spherical]: d\n30s [blend 2.5s]: e\n40s [blend linear]: f",
    "0s: a\n5s [blend  0:03   spherical]: b\n9s [ blend 1 min ]: c",
    "0s: a\n5s [blend 0]: b",
    "0s: a\n5s [blend 1.5]: b",
    "0s: a\n5s [blend 12f]: b",
    "0s: a\n5s [blend 3 4]: b",
    "0s: a\n5s [blend 3 round]: b",
    "0s: a\n5s [blend] [cut]: b",
    "0s: a\n5s: [blend 3 spherical] b",
    "0s: a\n5s: [blended] b",
    "pin: 3.5s\npin: 4s\npin hero: 2s\n0s: a\n5s [hero] [cut]: b",
    "pin hero: 2s\npin d\u00f6g_1: 12c\n0s: a\n5s [hero] [d\u00f6g_1]: b",
    "pin hero: 2s\n0s: a\n5s: [hero] b",
    "pin hero: 2s\n0s: a\n5s [hero] [hero]: b",
    "pin hero: 2s\npin hero: 3s\n0s: a",
    "pin cut: 2s\n0s: a",
    "pin a!: 2s\n0s: a",
    "pin " + 41 * "a" + ": 2s\n0s: a",
    "pin: soon\n0s: a",
    "0s: a\npin: 2s",
    "a\npin: 2s",
    "pinned: a note\n5s: b",
    "0s: a\n5s [hero]: b",
]


# what is told, refused with more than the page knows, or read by the server alone
LEFT = {
    "pinned: a note\n5s: b",
    "0: a\n160: b\n320f: c\n400 frames : d",
    "3x: city",
    "0s: a\n[soft] walks",
    "0s: a\n5s: b\n40: c",
    "0s:\n5s: \n",
    "\ufeff0s: a\r\n5s: b\r\r\n  c\u2028d\n\x1c\x85 7s: e",
    "0s: a\n\u0665s: b\n5:\u0669 c",
    "0s: a\npin: 2s",
    "a\npin: 2s",
}


@pytest.mark.parametrize("text", [text for text in TEXTS if text not in LEFT])
def test_a_text_means_the_same_to_both(timeline, text):
    compare(timeline, text)


@pytest.mark.parametrize("text", [text for text in NEWER_TEXTS if text not in LEFT])
def test_pins_and_blends_mean_the_same_to_both(timeline, text):
    compare(timeline, text)


@pytest.mark.parametrize("text", sorted(LEFT))
def test_what_only_the_server_knows_is_left_to_it(timeline, text):
    assert timeline(text) == {"foreign": True}


@pytest.mark.parametrize(
    "text",
    [
        '{"prompts": ["a", "b"], "switch_frame_indices": [40]}',
        '"prompts": ["a", "b"]',
        '{"prompts": [{"startTime": 0, "endTime": 5, "prompts": [{"text": "a"}]}]}',
        '"0": "a", "24": "b"',
        '0 = "a", 16 = "b"',
        '0: "a", 16: "b"',
        '[{"time": "0s", "prompt": "a"}]',
        ' {"0": "a"}',
    ],
)
def test_other_forms_are_left_to_the_server(timeline, text):
    read_schedule(text)
    assert timeline(text) == {"foreign": True}


ALPHABET = '0123459:.seclf%[]"{}|,-= \nab#\\'
PARTS = ["10s: b", "[cut] ", "[seed 7]", " [soft]", '"', "\n", "# c", " | ", "0:10", ": ", "global:", "24", "0s: ", "%"]
PARTS += ["pin hero: 2s\n", "[hero]", "[blend 2s]", "[blend spherical] ", "pin "]
texts = st.one_of(st.text(alphabet=ALPHABET, max_size=40), st.lists(st.sampled_from(PARTS), max_size=8).map("".join))


@fuzz
@given(texts)
def test_whatever_is_typed_means_the_same_to_both(timeline, text):
    if timeline(text) != {"foreign": True}:
        compare(timeline, text)
