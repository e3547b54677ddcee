"""The timeline of MemFlow Prompt Schedule in a real browser, LiteGraph and Vue nodes: its actions edit the text."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from memflow_core.schedule_formats import read_schedule

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
STORY = """# my story
0s: a robot walks
4s [cut]: an empty beach
8s: the robot returns"""
STARTS_S = [0, 4.3125, 8.0625]

# a schedule node on its way to a sampler of 153 video frames, and the view fitted to it
BUILD = """async ([text, length]) => {
    app.graph.clear();
    // Vue nodes of an old graph go a moment later
    while (document.querySelector(".mft")) await new Promise(requestAnimationFrame);
    const add = (type, x) => {
        const node = LiteGraph.createNode(type);
        app.graph.add(node);
        node.pos = [x, 80];
        return node;
    };
    const schedule = add("MemFlowPromptSchedule", 80);
    window.schedule = schedule.id;
    schedule.widgets.find(w => w.name === "prompts").value = text;
    schedule.widgets.find(w => w.name === "global_prompt").value = "";
    if (length) {
        const sampler = add("MemFlowSampler", 760);
        window.sampler = sampler.id;
        schedule.connect(0, sampler, sampler.inputs.findIndex(input => input.name === "schedule"));
        sampler.widgets.find(w => w.name === "length").value = length;
    }
    await app.extensionManager.command.execute("Comfy.Canvas.ResetView");
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [0, 40];
    const {timeline} = schedule.widgets.find(w => w.name === "timeline");
    timeline.reset();
    app.canvas.setDirty(true, true);
    while (!timeline.element.isConnected) await new Promise(requestAnimationFrame);
    timeline.setFocus(0);
}"""
# blocks find their places over a few frames, more of them on a busy machine
STILL = """async () => {
    const places = () => [...document.querySelectorAll(".mft-block")].map(one => {
        const {x, y, width} = one.getBoundingClientRect();
        return [x, y, width];
    }).join();
    for (let last = "", same = 0; same < 4;) {
        await new Promise(requestAnimationFrame);
        const now = places();
        same = now === last ? same + 1 : 0;
        last = now;
    }
}"""
WIDGET = """([name, value]) => {
    const widget = app.graph.getNodeById(window.schedule).widgets.find(w => w.name === name);
    if (value !== null) widget.value = value;
    return String(widget.value);
}"""
EMIT = """([name, detail]) => {
    const {api} = app;
    api.dispatchEvent(new CustomEvent(name, {detail: {node: String(window.sampler), ...detail}}));
}"""
# one black pixel
JPEG = (
    "data:image/jpeg;base64,/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAP//////////////////////////////////////////////////"
    "////////////////////////////////////wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAACf/EABQQAQAAAAAAAAAAAAAAAAAA"
    "AAD/2gAIAQEAAD8AKp//2Q=="
)


class Timeline:
    """The timeline of the one schedule node on a page."""

    def __init__(self, page) -> None:
        self.page = page
        self.root = page.locator(".mft")
        self.blocks = page.locator(".mft-block")
        self.message = page.locator(".mft-message")
        self.editor = page.locator(".mft-editor")

    def build(self, text: str = STORY, length: int | None = 153) -> None:
        self.page.evaluate(BUILD, [text, length])
        self.blocks.first.wait_for()
        self.page.evaluate(STILL)

    @property
    def text(self) -> str:
        return self.page.evaluate(WIDGET, ["prompts", None])

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")

    @property
    def prompts(self) -> list[str]:
        return [segment.prompt for segment in read_schedule(self.text).segments]

    def write(self, text: str, name: str = "prompts") -> None:
        """As another script would."""
        self.page.evaluate(WIDGET, [name, text])

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def button(self, label: str):
        return self.root.get_by_role("button", name=label)

    def x_of(self, seconds: float) -> float:
        """Where a moment stands on the page."""
        track = self.page.locator(".mft-track").bounding_box()
        length_s = self.page.evaluate(
            "() => app.graph.getNodeById(window.schedule).widgets.find(w => w.name === 'timeline').timeline"
            ".view.plan.length_s"
        )
        return track["x"] + track["width"] * seconds / length_s

    def drag(self, from_x: float, to_x: float, y: float | None = None) -> None:
        mouse = self.page.mouse
        box = self.blocks.first.bounding_box()
        y = y or box["y"] + box["height"] * 0.7
        mouse.move(from_x, y)
        mouse.down()
        mouse.move((from_x + to_x) / 2, y, steps=4)
        mouse.move(to_x, y, steps=4)
        mouse.up()

    def ruler_y(self) -> float:
        box = self.page.locator(".mft-ruler").bounding_box()
        return box["y"] + box["height"] / 2

    def shot(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"timeline_{name}.png")


@pytest.fixture(scope="module", params=["LiteGraph", "Vue nodes"])
def tab(request, new_page):
    """A page for all tests, and its complaints."""
    page, said = new_page(), []
    page.set_default_timeout(15_000)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.evaluate(
        "vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)", request.param == "Vue nodes"
    )
    yield page, request.param, said
    page.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
    page.close()


@pytest.fixture
def timeline(tab):
    page, _, said = tab
    said.clear()
    made = Timeline(page)
    made.build()
    yield made
    assert said == []


def near(*seconds: float):
    return [pytest.approx(second, abs=0.2) for second in seconds]


# -- what is shown ----------------------------------------------------------------------------------------------------


def test_segments_stand_where_they_will_really_switch(timeline, tab):
    boxes = [timeline.blocks.nth(n).bounding_box() for n in range(3)]
    for box, start in zip(boxes, STARTS_S, strict=True):
        assert box["x"] == pytest.approx(timeline.x_of(start), abs=2)
    assert boxes[1]["x"] + boxes[1]["width"] == pytest.approx(boxes[2]["x"], abs=2)
    assert timeline.blocks.nth(1).get_attribute("aria-label") == "Prompt 2 of 3, 4.31 s to 8.06 s, cut, an empty beach"
    assert "asked for at 4 s" in timeline.blocks.nth(1).get_attribute("title")
    timeline.shot(f"shown_{tab[1].split()[0]}")


def test_it_has_the_colours_of_the_theme(timeline, tab):
    palette = "name => app.extensionManager.setting.set('Comfy.ColorPalette', name)"
    colour = "() => getComputedStyle(document.querySelector('.mft')).color"
    dark = timeline.page.evaluate(colour)
    timeline.page.evaluate(palette, "light")
    timeline.page.wait_for_function("was => getComputedStyle(document.querySelector('.mft')).color !== was", arg=dark)
    assert timeline.page.evaluate(colour) == "rgb(34, 34, 34)"
    timeline.shot(f"light_{tab[1].split()[0]}")
    timeline.page.evaluate(palette, "dark")
    timeline.page.wait_for_function("is => getComputedStyle(document.querySelector('.mft')).color === is", arg=dark)


def test_what_is_written_in_the_text_box_is_shown(timeline, tab):
    box = timeline.page.locator("textarea:not(.mft-editor)").first
    box.fill("0s: one\n2s [soft] [seed 5]: two")
    assert timeline.blocks.all_inner_texts() == ["one", "soft\nseed 5\ntwo"]
    assert timeline.text == "0s: one\n2s [soft] [seed 5]: two"


def test_a_text_that_is_no_schedule_is_told_in_a_sentence_and_left_alone(timeline, tab):
    bad = "0s: one\n4x: two"
    timeline.write(bad)
    notice = timeline.page.locator(".mft-notice")
    notice.wait_for()
    assert notice.inner_text().startswith("line 2: '4x' looks like a time")
    timeline.shot(f"bad_{tab[1].split()[0]}")
    timeline.page.evaluate("() => document.querySelector('.mft-lane').focus()")
    assert timeline.button("Add a prompt").is_disabled()
    assert timeline.text == bad
    timeline.write(STORY)
    notice.wait_for(state="hidden")
    assert timeline.blocks.count() == 3


def test_what_cannot_be_played_is_said(timeline):
    timeline.write("0s: a\n20s: b")
    assert timeline.message.inner_text() == "Prompt 2 starts at 20.06 s, but the story ends at 9.56 s."
    timeline.write("pin hero: 6s\n0s: a\n5s [hero]: b")
    assert timeline.message.inner_text() == "Prompt 2 asks for [hero], a moment that is not made by then."


def test_the_axis_follows_the_sampler(timeline):
    assert timeline.message.inner_text() == "3 prompts in 9.56 s"
    timeline.build(STORY, 321)
    assert timeline.message.inner_text() == "3 prompts in 20.06 s"
    timeline.build(STORY, None)
    assert timeline.message.inner_text() == "3 prompts in 13.31 s"
    timeline.build("length: 1:00\n0s: a", None)
    assert timeline.message.inner_text() == "1 prompt in 1:00.56"


# -- the pointer ------------------------------------------------------------------------------------------------------


def test_an_edge_is_dragged_to_another_chunk(timeline):
    timeline.drag(timeline.x_of(STARTS_S[1]), timeline.x_of(5.7))
    assert timeline.lines == STORY.replace("4s", "5.81s").split("\n")
    timeline.page.keyboard.down("Alt")
    timeline.drag(timeline.x_of(5.8125), timeline.x_of(5.2))
    timeline.page.keyboard.up("Alt")
    (free,) = re.findall(r"^([0-9.]+)s \[cut\]", timeline.text, re.M)
    assert float(free) == pytest.approx(5.2, abs=0.1)
    timeline.press("Control+z", "Control+z")
    assert timeline.text == STORY


def test_an_edge_stays_between_its_neighbours(timeline):
    timeline.drag(timeline.x_of(STARTS_S[1]), timeline.x_of(9.5))
    assert timeline.lines[2].startswith("7.31s [cut]")
    timeline.drag(timeline.x_of(7.3125), timeline.x_of(0))
    assert timeline.lines[2].startswith("0.56s [cut]")


def test_a_segment_is_dragged_to_another_place(timeline, tab):
    page, box = timeline.page, timeline.blocks.nth(2).bounding_box()
    y = box["y"] + box["height"] * 0.7
    page.mouse.move(timeline.x_of(8.7), y)
    page.mouse.down()
    page.mouse.move(timeline.x_of(5), y, steps=4)
    page.mouse.move(timeline.x_of(2), y, steps=4)
    assert timeline.text == STORY
    timeline.shot(f"drag_{tab[1].split()[0]}")
    page.mouse.up()
    assert timeline.prompts == ["the robot returns", "a robot walks", "an empty beach"]
    assert timeline.lines[0] == "# my story"


def test_a_drag_is_given_up_with_escape(timeline):
    page, box = timeline.page, timeline.blocks.first.bounding_box()
    page.mouse.move(timeline.x_of(STARTS_S[1]), box["y"] + 20)
    page.mouse.down()
    page.mouse.move(timeline.x_of(6), box["y"] + 20, steps=4)
    timeline.press("Escape")
    page.mouse.up()
    assert timeline.text == STORY


def test_a_prompt_is_written_in_place(timeline, tab):
    timeline.blocks.nth(1).dblclick(position={"x": 20, "y": 30})
    assert timeline.editor.input_value() == "an empty beach"
    timeline.editor.fill("a full beach")
    timeline.shot(f"editor_{tab[1].split()[0]}")
    timeline.press("Enter")
    assert timeline.text == STORY.replace("an empty", "a full")
    timeline.press("Enter")
    timeline.editor.fill("nothing")
    timeline.press("Escape")
    assert timeline.text == STORY.replace("an empty", "a full")
    timeline.press("Enter")
    timeline.editor.fill("kept")
    # elsewhere
    timeline.page.mouse.click(timeline.x_of(1), timeline.ruler_y())
    assert timeline.prompts[1] == "kept"


def test_a_prompt_is_split_at_the_cursor(timeline):
    timeline.page.mouse.click(timeline.x_of(2), timeline.ruler_y())
    assert timeline.message.inner_text() == "3 prompts in 9.56 s, cursor at 2.06 s"
    timeline.button("Split").click()
    assert timeline.lines[1:3] == ["0s: a robot walks", "2.06s: a robot walks"]


def test_the_buttons_do_what_they_say(timeline):
    timeline.blocks.nth(1).click()
    timeline.button("Duplicate").click()
    assert timeline.prompts == ["a robot walks", "an empty beach", "an empty beach", "the robot returns"]
    timeline.button("Delete the prompt").click()
    assert timeline.prompts == ["a robot walks", "an empty beach", "the robot returns"]
    timeline.button("Undo").click()
    timeline.button("Undo").click()
    assert timeline.text == STORY and timeline.button("Undo").is_disabled()
    timeline.button("Redo").click()
    assert len(timeline.prompts) == 4


def test_a_prompt_is_added_with_its_words(timeline):
    timeline.button("Add a prompt").click()
    assert timeline.text == STORY and timeline.blocks.count() == 4
    timeline.page.keyboard.type("night falls")
    timeline.press("Enter")
    assert timeline.lines[4] == "8.81s: night falls"
    timeline.press("Control+z")
    assert timeline.text == STORY
    timeline.button("Add a prompt").click()
    timeline.press("Escape")
    assert timeline.text == STORY and timeline.blocks.count() == 3


# -- the keyboard -----------------------------------------------------------------------------------------------------


def test_everything_is_done_by_keyboard(timeline):
    focused = "() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.tagName"
    timeline.press("ArrowRight")
    assert timeline.page.evaluate(focused).startswith("Prompt 2 of 3")
    timeline.press("Shift+ArrowRight")
    assert timeline.lines[2].startswith("5.06s [cut]")
    timeline.press("Shift+ArrowLeft", "Alt+Shift+ArrowRight")
    assert timeline.lines[2].startswith("4.38s [cut]")
    timeline.press("Alt+ArrowLeft")
    assert timeline.prompts[0] == "an empty beach" and timeline.page.evaluate(focused).startswith("Prompt 1 of 3")
    timeline.press("Control+z", "Control+z", "Control+z", "Control+z")
    assert timeline.text == STORY
    timeline.press("Control+y", "Control+Shift+z")
    assert timeline.lines[2].startswith("4.31s [cut]")
    timeline.press("End", "Delete")
    assert timeline.prompts == ["a robot walks", "an empty beach"]
    timeline.press("Home", "Control+ArrowRight", "Control+ArrowRight", "s")
    assert timeline.lines[2] == "1.31s: a robot walks"
    timeline.press("d", "F2")
    timeline.page.keyboard.type("copy")
    timeline.press("Enter")
    assert timeline.prompts == ["a robot walks", "a robot walks", "copy", "an empty beach"]
    assert timeline.page.evaluate("() => app.graph.nodes.length") == 2


def test_the_last_prompt_cannot_be_deleted(timeline):
    timeline.press("Delete", "Delete", "Delete")
    assert timeline.prompts == ["the robot returns"]
    assert timeline.message.inner_text() == "A story needs at least one prompt."


def test_zoom_and_scroll(timeline, tab):
    timeline.build("\n".join(f"{n * 12}s: scene {n + 1}" for n in range(50)), None)
    whole = timeline.blocks.nth(1).bounding_box()["width"]
    timeline.shot(f"long_{tab[1].split()[0]}")
    timeline.press("+", "+", "+", "+")
    assert timeline.blocks.nth(1).bounding_box()["width"] == pytest.approx(whole * 1.5**4, rel=0.02)
    timeline.press("End")
    stage, last = timeline.page.locator(".mft-stage").bounding_box(), timeline.blocks.last.bounding_box()
    assert stage["x"] <= last["x"] <= stage["x"] + stage["width"]
    scrolled = timeline.page.evaluate("() => document.querySelector('.mft-view').scrollLeft")
    timeline.shot(f"zoomed_{tab[1].split()[0]}")
    assert scrolled > 1000
    timeline.press("0")
    assert timeline.blocks.nth(1).bounding_box()["width"] == pytest.approx(whole, rel=0.02)


def test_the_wheel_zooms_what_has_the_focus(timeline):
    stage = timeline.page.locator(".mft-stage").bounding_box()
    scale, width = "() => app.canvas.ds.scale", "() => parseFloat(document.querySelector('.mft-track').style.width)"
    timeline.page.mouse.move(stage["x"] + 300, stage["y"] + 50)
    timeline.page.mouse.wheel(0, -100)
    timeline.page.wait_for_function("() => parseFloat(document.querySelector('.mft-track').style.width) > 100")
    assert timeline.page.evaluate(scale) == 1
    before = timeline.page.evaluate(width)
    timeline.page.evaluate("() => document.activeElement.blur()")
    timeline.page.mouse.wheel(0, -100)
    timeline.page.wait_for_function("() => app.canvas.ds.scale > 1")
    assert timeline.page.evaluate(width) == before and timeline.page.evaluate(scale) < 1.2


# -- the fields -------------------------------------------------------------------------------------------------------


def test_switch_seed_and_start_are_set_in_the_row_below(timeline, tab):
    timeline.write("pin hero: 2s\npin dog: 3s\n" + STORY)
    field = timeline.root.get_by_label
    last = lambda: timeline.lines[-1]  # noqa: E731
    timeline.blocks.nth(2).click()
    field("switch").select_option("blend")
    assert last() == "8s [blend]: the robot returns"
    field("over").fill("6")
    field("curve").select_option("spherical")
    assert last() == "8s [blend 6 spherical]: the robot returns"
    field("over").fill("1.5s")
    field("seed").fill("18446744073709551615")
    timeline.press("Tab")
    assert last() == "8s [blend 1.5s spherical] [seed 18446744073709551615]: the robot returns"
    field("start", exact=True).fill("0:07")
    timeline.press("Enter")
    assert last().startswith("0:07 [blend 1.5s spherical]")
    field("pins").fill("hero, dog")
    # what is written in a field belongs to the segment that it was written for
    timeline.blocks.first.click()
    assert last().endswith("[hero] [dog]: the robot returns") and timeline.lines[3] == "0s: a robot walks"
    timeline.blocks.nth(2).click()
    timeline.shot(f"fields_{tab[1].split()[0]}")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("seed", "-5", "is no seed"),
        ("seed", "18446744073709551616", "is no seed"),
        ("start", "soon", "is no time"),
        ("start", "1s", "no later than"),
        ("start", "4.1s", "both start with the chunk"),
        ("pins", "a!", "cannot be a pin's name"),
        ("pins", "cut", "cannot be a pin's name"),
        ("pins", "nobody", "There is no pin named nobody"),
    ],
)
def test_a_field_that_makes_no_sense_changes_nothing(timeline, field, value, said):
    timeline.blocks.nth(2).click()
    timeline.root.get_by_label(field, exact=True).fill(value)
    timeline.press("Tab")
    assert said in timeline.message.inner_text()
    assert timeline.text == STORY


def test_the_global_prompt_is_that_of_the_text_or_of_the_node(timeline):
    field = timeline.root.get_by_label("Global")
    field.fill("watercolour")
    timeline.press("Enter")
    assert timeline.page.evaluate(WIDGET, ["global_prompt", None]) == "watercolour" and timeline.text == STORY
    timeline.write("", "global_prompt")
    timeline.write("global: oil\n" + STORY)
    assert field.input_value() == "oil"
    field.fill("ink")
    timeline.press("Enter")
    assert timeline.text == "global: ink\n" + STORY


def test_pins_are_set_named_and_taken_away(timeline):
    timeline.page.mouse.click(timeline.x_of(2), timeline.ruler_y())
    timeline.button("Pin the moment").click()
    timeline.page.keyboard.type("hero")
    timeline.press("Enter")
    assert timeline.lines[0] == "pin hero: 2.06s"
    pin = timeline.page.get_by_role("button", name="Pin hero at 2.06 s")
    assert pin.bounding_box()["x"] == pytest.approx(timeline.x_of(2.0625), abs=8)
    timeline.page.mouse.click(timeline.x_of(5), timeline.ruler_y())
    timeline.press("p")
    timeline.page.keyboard.type("hero")
    timeline.press("Enter")
    assert "Pin hero is set twice" in timeline.message.inner_text()
    pin.focus()
    timeline.press("Delete")
    assert timeline.text == STORY


# -- other forms ------------------------------------------------------------------------------------------------------

JSONL = json.dumps({"prompts": ["a meadow", "a beach"], "switch_frame_indices": [18]})
PASTE = """text => {
    const data = new DataTransfer();
    data.setData("text/plain", text);
    const at = {bubbles: true, cancelable: true, clipboardData: data};
    document.activeElement.dispatchEvent(new ClipboardEvent("paste", at));
}"""


@pytest.mark.parametrize(
    ("pasted", "text"),
    [
        (JSONL, "0l: a meadow\n18l: a beach"),
        ('{"prompts": [{"startTime": 0, "endTime": 5, "prompts": [{"text": "a"}]}]}', "length: 5s\n0s: a"),
        ('"0": "a", "24": "b",', "0: a\n24: b"),
        ("a | b", "a | b"),
        ("# mine\n0s: a", "# mine\n0s: a"),
    ],
)
def test_a_schedule_of_any_form_is_pasted_on_the_strip(timeline, pasted, text):
    timeline.page.evaluate(PASTE, pasted)
    timeline.page.wait_for_function(
        "text => app.graph.getNodeById(window.schedule).widgets[0].value === text", arg=text
    )
    timeline.press("Control+z")
    assert timeline.text == STORY


def test_what_is_no_schedule_is_not_pasted(timeline):
    timeline.page.evaluate(PASTE, '{"nodes": []}')
    timeline.page.wait_for_function("() => document.querySelector('.mft-message').innerText.includes('keys')")
    assert timeline.text == STORY and timeline.page.evaluate("() => app.graph.nodes.length") == 2


def test_another_form_in_the_text_box_is_shown_and_converted_on_demand(timeline, tab):
    timeline.write(JSONL)
    convert = timeline.button("Convert to text")
    convert.wait_for()
    assert timeline.blocks.all_inner_texts() == ["a meadow", "a beach"] and timeline.text == JSONL
    timeline.shot(f"foreign_{tab[1].split()[0]}")
    convert.click()
    timeline.page.wait_for_function("() => app.graph.getNodeById(window.schedule).widgets[0].value.startsWith('0l:')")
    assert timeline.prompts == ["a meadow", "a beach"]


def test_the_schedule_is_copied_as_text(timeline):
    timeline.write("oil", "global_prompt")
    timeline.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    timeline.button("Copy as text").click()
    timeline.page.wait_for_function("() => document.querySelector('.mft-message').innerText === 'Copied as text.'")
    assert timeline.page.evaluate("() => navigator.clipboard.readText()") == "global: oil\n" + STORY
    timeline.write("", "global_prompt")
    timeline.blocks.first.click()
    timeline.press("Control+c")
    timeline.page.wait_for_function("async text => await navigator.clipboard.readText() === text", arg=STORY)


# -- the graph --------------------------------------------------------------------------------------------------------


def test_workflow_files_keep_their_values_in_order(timeline):
    saved = timeline.page.evaluate("() => app.graph.serialize().nodes.find(n => n.id == window.schedule)")
    assert saved["widgets_values"] == [STORY, ""]
    queued = timeline.page.evaluate("async () => (await app.graphToPrompt()).output[window.schedule].inputs")
    assert queued == {"prompts": STORY, "global_prompt": ""}


def test_json_in_the_text_box_reaches_the_server_whole(timeline):
    """ComfyUI's choices in braces, which would take a pair of them away, still work in prompts."""
    timeline.write(JSONL)
    queued = "async () => (await app.graphToPrompt()).output[window.schedule].inputs.prompts"
    assert timeline.page.evaluate(queued) == JSONL
    timeline.write("0s: a {red|red} robot")
    assert timeline.page.evaluate(queued) == "0s: a red robot"


def test_a_loaded_workflow_has_nothing_to_undo(timeline):
    timeline.page.evaluate("async () => app.loadGraphData(app.graph.serialize())")
    timeline.page.wait_for_function("() => document.querySelectorAll('.mft-block').length === 3")
    assert timeline.button("Undo").is_disabled() and timeline.text == STORY


def test_comfyui_undoes_an_edit_too(timeline):
    timeline.press("End", "Delete")
    assert len(timeline.prompts) == 2
    timeline.page.evaluate("() => app.extensionManager.workflow.activeWorkflow.changeTracker.undo()")
    timeline.page.wait_for_function("() => document.querySelectorAll('.mft-block').length === 3")
    assert timeline.text == STORY


def test_a_text_that_comes_over_a_link_is_not_edited(timeline):
    timeline.page.evaluate("""() => {
        const text = LiteGraph.createNode("PrimitiveStringMultiline");
        app.graph.add(text);
        const schedule = app.graph.getNodeById(window.schedule);
        text.connect(0, schedule, schedule.inputs.findIndex(input => input.name === "prompts"));
    }""")
    timeline.page.wait_for_function("() => document.querySelector('.mft-message').innerText.includes('another node')")
    timeline.press("Delete")
    assert timeline.text == STORY and timeline.button("Duplicate").is_disabled()


ROUNDABOUT = """() => {
    const [schedule, sampler] = [window.schedule, window.sampler].map(id => app.graph.getNodeById(id));
    const segment = LiteGraph.createNode("MemFlowPromptSegment");
    app.graph.add(segment);
    const input = node => node.inputs.findIndex(one => one.name === "schedule");
    schedule.connect(0, segment, input(segment));
    segment.connect(0, sampler, input(sampler));
    const {node} = app.canvas.graph.convertToSubgraph(new Set([segment, sampler]));
    const inside = node.subgraph.nodes.find(one => one.comfyClass === "MemFlowSampler");
    inside.widgets.find(one => one.name === "length").value = 321;
    schedule.widgets.find(one => one.name === "timeline").timeline.refresh();
    window.sampler = `${node.id}:${inside.id}`;
}"""


def test_a_sampler_is_found_through_segments_and_subgraphs(timeline):
    timeline.page.evaluate(ROUNDABOUT)
    assert timeline.message.inner_text() == "3 prompts in 20.06 s"
    chunk(timeline, 0)
    assert timeline.page.locator(".mft-done").count() == 1


# -- a run ------------------------------------------------------------------------------------------------------------


def emit(timeline, name: str, **detail) -> None:
    timeline.page.evaluate(EMIT, [name, detail])


def chunk(timeline, index: int, prompt: str = "p1", thumbnail: str | None = JPEG) -> None:
    start_s, end_s = [(12 * n - 3) / 16 if n else 0 for n in (index, index + 1)]
    detail = {"chunk": index, "chunks": 13, "start_s": start_s, "end_s": end_s, "thumbnail": thumbnail}
    emit(timeline, "memflow.chunk", prompt_id=prompt, **detail)


def spans(timeline, selector: str) -> list[tuple[float, float]]:
    """Left and right ends of elements, in seconds."""
    boxes = [one.bounding_box() for one in timeline.page.locator(selector).all()]
    zero, second = timeline.x_of(0), timeline.x_of(1) - timeline.x_of(0)
    return [((box["x"] - zero) / second, (box["x"] + box["width"] - zero) / second) for box in boxes]


def test_a_run_is_shown_chunk_by_chunk(timeline, tab):
    for index in range(5):
        chunk(timeline, index)
    ((start, end),) = spans(timeline, ".mft-done")
    assert [start, end] == near(0, 3.5625)
    ((start, end),) = spans(timeline, ".mft-making")
    assert [start, end] == near(3.5625, 4.3125)
    assert timeline.page.locator(".mft-thumbnail").count() >= 2
    timeline.shot(f"run_{tab[1].split()[0]}")
    emit(timeline, "memflow.done", prompt_id="p1")
    assert timeline.page.locator(".mft-making").count() == 0 and timeline.page.locator(".mft-done").count() == 1
    timeline.page.evaluate("() => app.api.dispatchEvent(new CustomEvent('executing', {detail: window.sampler}))")
    assert timeline.page.locator(".mft-done").count() == 0 and timeline.page.locator(".mft-making").count() == 1
    chunk(timeline, 0, "p2", None)
    ((start, end),) = spans(timeline, ".mft-done")
    assert [start, end] == near(0, 0.5625)
    assert timeline.page.locator(".mft-thumbnail").count() == 0


def test_another_samplers_run_is_not_shown(timeline):
    emit(timeline, "memflow.chunk", node="9999", chunk=0, chunks=2, start_s=0, end_s=1, thumbnail=None)
    assert timeline.page.locator(".mft-done").count() == 0


def test_a_thumbnail_is_a_picture_and_nothing_else(timeline):
    chunk(timeline, 0, thumbnail="https://example.com/a.jpg")
    assert timeline.page.locator(".mft-done").count() == 1 and timeline.page.locator(".mft-thumbnail").count() == 0
