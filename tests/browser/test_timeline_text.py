"""The timeline's own reader and editor of schedule text, against memflow_core's: in node, or else in the page."""

from __future__ import annotations

import json
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memflow_core.schedule import ChunkGrid, ScheduleError, Segment, Time, read_schedule
from tools.comfy_host import ROOT

WEB = ROOT / "web" / "js"
FPS = 16.0

# what the timeline makes of a text; with an operation, of the text after it
READ = """async (folder, text, operation, values, frames) => {
    const files = ["timeline/operations.js", "schedule/text.js"];
    const [model, {isForeign}] = await Promise.all(files.map(file => import(folder + file)));
    if (isForeign(text)) return {foreign: true};
    const setting = {fps: 16, frames};
    try {
        const story = model.readSchedule(text, setting);
        const change = operation ? model[operation](story, ...values) : {text};
        if (change === null) return {nothing: true};
        const {document, plan} = model.readSchedule(change.text, setting);
        const blend = one => one && [one.length.value, one.length.unit, one.spherical ? "spherical" : "linear"];
        const said = one => [
            one.start.value, one.start.unit, one.prompt, one.switch, one.seed, blend(one.blend), one.asks];
        return {
            text: change.text, segments: document.segments.map(said), global: document.global?.prompt ?? "",
            length: document.length && [document.length.time.value, document.length.time.unit],
            chunks: plan.placed.map(one => one.chunk), axis: plan.chunks,
            pins: document.pins.map(pin => [pin.name || null, pin.time.value, pin.time.unit]),
            problems: plan.placed.map(one => one.problem), focus: change.focus ?? null,
        };
    } catch (error) {
        if (error.constructor.name !== "TextError") throw error;
        return {error: error.message};
    }
}"""
LOOP = """
import {createInterface} from "node:readline";
const read = %s;
for await (const line of createInterface({input: process.stdin})) {
    console.log(JSON.stringify(await read(...JSON.parse(line))));
}
"""


class Node:
    """A node process that answers one line for each."""

    def __init__(self, program: str) -> None:
        command = [program, "--input-type=module", "-e", LOOP % READ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, *values: object) -> dict:
        self._process.stdin.write(json.dumps([f"{WEB.as_uri()}/", *values]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(10)


def _reads_modules(program: str) -> bool:
    """Older versions of node take a .js file for something else than a module."""
    command = [program, "--input-type=module", "-e", f"await import({json.dumps(f'{WEB.as_uri()}/schedule/time.js')})"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


@pytest.fixture(scope="module")
def timeline(request):
    """Call it with (text, operation, values, length in video frames): what the timeline makes of a text."""
    program = shutil.which("node")
    if program and _reads_modules(program):
        node = Node(program)
        yield lambda text, operation=None, values=(), frames=None: node(text, operation, values, frames)
        node.close()
        return
    comfy, tab = request.getfixturevalue("comfy"), request.getfixturevalue("chromium").new_page()
    tab.goto(f"{comfy.url}/extensions", wait_until="domcontentloaded")
    folder = f"{comfy.url}/extensions/{Path(comfy.base, 'custom_nodes').iterdir().__next__().name}/js/"
    ask = f"values => ({READ})(...values)"
    yield lambda text, operation=None, values=(), frames=None: tab.evaluate(
        ask, [folder, text, operation, list(values), frames]
    )
    tab.close()


def core(text: str) -> dict:
    """What memflow_core makes of a text, in the same shape."""
    try:
        schedule = read_schedule(text)
    except ScheduleError as error:
        return {"error": str(error)}
    length = schedule.length and [schedule.length.value, schedule.length.unit]
    pins = [[pin.name, pin.time.value, pin.time.unit] for pin in vars(schedule).get("pins", ())]
    return {
        "segments": [*map(said, schedule.segments)],
        "global": schedule.global_prompt,
        "length": length,
        "pins": pins,
    }


def said(segment: Segment) -> list:
    """A segment as the timeline says it."""
    facts = {"blend": None, "recall": (), **vars(segment)}
    start, seed, blend = facts["start"], facts["seed"], facts["blend"]
    way = blend and [blend.length.value, blend.length.unit, blend.path]
    number = None if seed is None else str(seed)
    return [start.value, start.unit, segment.prompt, segment.switch, number, way, list(facts["recall"])]


TEXTS = [
    "a robot",
    "0s: a\n4s: b\n8s: c",
    '# c\nglobal: red, "x"\nlength: 1:00\n\n0s: it\n   walks\n# then\n10s [cut] [seed 7]: a: b | c # d\n320 [soft]: e',
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


def compare(timeline, text: str) -> None:
    theirs, ours = core(text), timeline(text)
    if "error" in theirs:
        assert "error" in ours, (text, ours)
    else:
        assert {key: ours.get(key) for key in theirs} == theirs, (text, ours)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_means_the_same_to_both(timeline, text):
    compare(timeline, text)


@pytest.mark.parametrize("text", NEWER_TEXTS)
def test_pins_and_blends_mean_the_same_to_both(timeline, text):
    compare(timeline, text)


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
fuzz = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzz
@given(texts)
def test_whatever_is_typed_means_the_same_to_both(timeline, text):
    if timeline(text) != {"foreign": True}:
        compare(timeline, text)


# -- operations -------------------------------------------------------------------------------------------------------

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
        ("split", (0, 2), "    in a meadow", "    in a meadow\n2.06s: it walks in a meadow"),
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


def test_a_prompt_is_added_within_a_short_story(timeline):
    assert changed(timeline, "0s: a", "append", frames=81).split("\n")[1] == '2.06s: ""'
    assert timeline("0s: a", "append", [], 9) == {"nothing": True}


def test_what_cannot_be_played_is_said(timeline):
    assert timeline("0s: a\n4s: b\n4.1s: c")["problems"][2].startswith("Prompts 2 and 3 both start")
    assert "the story ends at 5.06 s" in timeline("0s: a\n6s: b", frames=81)["problems"][1]
    assert timeline("0s: a\n6s:")["problems"] == ["", "Prompt 2 is empty: write it."]
    assert timeline("global: x\n0s: a\n6s:")["problems"] == ["", ""]


prompts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda text: text.strip())
options = st.sampled_from(["", " [cut]", " [soft][seed 7]", "[seed 5]"])
units = st.sampled_from(["s", "", "f", "c", " frames", " sec"])


@st.composite
def stories(draw) -> tuple[str, list[str]]:
    """A text, and its prompts: every start on a chunk of its own, comments and line breaks in between."""
    chunk, lines, said = 0, ["# top"] * draw(st.booleans()), []
    for _ in range(draw(st.integers(1, 5))):
        unit = draw(units)
        start = ChunkGrid().start_px(chunk)
        number = {"s": start / FPS, "c": chunk, " sec": start / FPS}.get(unit, start)
        prompt = draw(prompts)
        lines.append(f"{number:g}{unit}{draw(options)}: {json.dumps(prompt)}")
        lines += draw(st.lists(st.sampled_from(["", "# note", "  # indented"]), max_size=2))
        said.append(prompt)
        chunk += draw(st.integers(1, 9))
    return "\n".join(lines), said


def starts(text: str, chunks: int = 200) -> list[int]:
    return [s.start_chunk for s in read_schedule(text).place(ChunkGrid(), Time(chunks, "chunks")).segments]


def segment_texts(text: str) -> list[str]:
    return [segment.prompt for segment in read_schedule(text).segments]


def comments(text: str) -> list[str]:
    return sorted(line.strip() for line in text.split("\n") if line.strip().startswith("#"))


@fuzz
@given(stories(), st.data())
def test_operations_do_to_the_story_what_they_say(timeline, story, data):
    text, said = story
    index = data.draw(st.integers(0, len(said) - 1))
    to = data.draw(st.integers(0, len(said) - 1))
    before = starts(text)
    lasting = [b - a for a, b in pairwise(before)]

    moved = timeline(text, "move", [index, to])
    if index != to:
        assert segment_texts(moved["text"]) == [
            *(order := said[:index] + said[index + 1 :])[:to],
            said[index],
            *order[to:],
        ]
        assert comments(moved["text"]) == comments(text)
        after = starts(moved["text"])
        if max(index, to) < len(said) - 1:
            assert sorted(b - a for a, b in pairwise(after)) == sorted(lasting)

    removed = timeline(text, "remove", [index])
    if len(said) > 1:
        assert segment_texts(removed["text"]) == said[:index] + said[index + 1 :]
        assert starts(removed["text"]) == [0, *(before[:index] + before[index + 1 :])[1:]]
        assert comments(removed["text"]) == comments(text)

    copied = timeline(text, "duplicate", [index])
    assert segment_texts(copied["text"]) == said[: index + 1] + said[index:]
    later = timeline(text, "retimeBy", [index, 1])
    if "text" in later:
        assert starts(later["text"]) == [*before[:index], before[index] + 1, *before[index + 1 :]]
    written = data.draw(prompts)
    edited = timeline(text, "setPrompt", [index, written])
    if "text" in edited:
        assert segment_texts(edited["text"]) == [*said[:index], written, *said[index + 1 :]]
        assert starts(edited["text"]) == before and comments(edited["text"]) == comments(text)
