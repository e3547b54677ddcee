"""Labels, tooltips and help pages of the nodes in the real front end, in English and in Chinese."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docs import help_pages
from tools import locale_words
from tools.make_workflows import FOLDER
from tools.pin_schemas import PINNED
from tools.stories import STORIES

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
NODES = list(json.loads(PINNED.read_text()))

# a node's title and labels, by the names in the locale files
SHOWN = """([type, choice]) => {
    app.graph.clear();
    const node = LiteGraph.createNode(type);
    app.graph.add(node);
    node.pos = [200, 200];
    if (choice) node.widgets.find(w => w.name === choice[0]).value = choice[1];
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [100, 100];
    app.canvas.selectNode(node);
    app.canvas.setDirty(true, true);
    const key = name => name.replaceAll(".", "_");
    const labels = {};
    for (const input of node.inputs ?? []) labels[key(input.name)] = input.label ?? input.localized_name;
    for (const widget of node.widgets ?? []) if (widget.label) labels[key(widget.name)] = widget.label;
    return {title: node.title, labels, outputs: node.outputs.map(o => o.label ?? o.localized_name)};
}"""
# in pixels of the page
WIDGET = """name => {
    const [node] = app.graph.nodes;
    const widget = node.widgets.find(w => w.name === name);
    const {left, top} = app.canvasEl.getBoundingClientRect();
    const [dx, dy] = app.canvas.ds.offset;
    return [node.pos[0] + dx + left + 60, node.pos[1] + widget.last_y + dy + top + 10];
}"""
HELP = ".node-help-content"
NOT_SERVED = """async names => {
    const answers = names.map(async name => [name, (await fetch(`/extensions/memflow/docs/${name}`)).status]);
    return (await Promise.all(answers)).filter(([, status]) => status !== 200);
}"""
LOADED = f"() => [...document.querySelectorAll('{HELP} img')].every(i => i.complete && i.naturalWidth > 0)"


@pytest.fixture
def open_in(comfy, new_page):
    """open_in(language): a page whose user has chosen the language."""
    pages = []

    def opened(language: str):
        comfy.post("/settings", {"Comfy.Locale": language})
        pages.append(new_page())
        return pages[-1]

    yield opened
    comfy.post("/settings", {"Comfy.Locale": "en"})
    for page in pages:
        page.close()


def _is_shown(page, node: str, words: dict) -> None:
    choice = ["preset", "Custom"] if node == "MemFlowMemory" else None
    shown = page.evaluate(SHOWN, [node, choice])
    texts = words[node]
    assert shown["title"] == texts["display_name"]
    assert shown["labels"].items() >= {key: text["name"] for key, text in texts.get("inputs", {}).items()}.items()
    assert shown["outputs"] == [text["name"] for text in texts["outputs"].values()]


def _tooltip(page, widget: str) -> str:
    page.mouse.move(300, 850)
    page.mouse.move(*page.evaluate(WIDGET, widget))
    tooltip = page.locator(".node-tooltip")
    tooltip.wait_for(timeout=20_000)
    return tooltip.inner_text()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_is_in_its_users_language(open_in, language):
    page = open_in(language)
    words = locale_words.read(language)
    for node in NODES:
        _is_shown(page, node, words)
    _is_shown(page, "MemFlowMemory", words)
    texts = words["MemFlowMemory"]["inputs"]
    page.wait_for_timeout(500)
    for widget in ("preset", "preset.bank_size"):
        assert _tooltip(page, widget) == texts[widget.replace(".", "_")]["tooltip"]
    _help_is_shown(page, "MemFlowMemory", language)
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"words_{language}.png")


NOTES = """() => app.graph.nodes.filter(n => n.type === "MarkdownNote").map(n => [n.title, n.widgets[0].value])"""
SCHEDULE = """text => {
    const node = app.graph.nodes.find(n => n.comfyClass === "MemFlowPromptSchedule");
    const widget = node.widgets.find(w => w.name === "prompts");
    widget.value = text;
    widget.callback?.(text);
    // as typing does, which the plan waits for
    document.dispatchEvent(new Event("input"));
}"""
# what the plan says in sight, and the line below the timeline
TOLD = """() => [...document.querySelectorAll(".memflow-plan, .mft-message, .mft-bad-line")]
    .map(e => e.textContent + e.title).join(" ")"""
MODIFIED = "() => app.extensionManager.workflow.activeWorkflow.isModified"


def open_graph(page, graph: dict) -> list[list[str]]:
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    page.wait_for_function("n => app.graph.nodes.length === n", arg=len(graph["nodes"]))
    return page.evaluate(NOTES)


def test_notes_and_errors_are_in_chinese(open_in):
    page = open_in("zh")
    story = next(story for story in STORIES if story.name == "tiny_story")
    graph = json.loads((FOLDER / "tiny_story.json").read_text())
    assert open_graph(page, graph) == [["说明", story.notes[0].chinese], ["试试", story.notes[1].chinese]]
    # as it began, so that closing it asks nothing
    assert not page.evaluate(MODIFIED)
    saved = page.evaluate("() => app.graph.serialize()")
    page.evaluate(SCHEDULE, "0s: a robot\n3s: a cat\n3.1s: a bird")
    # the timeline's own words, and the server's
    for words in ("请让它们相隔 0.75 秒", "都落在第 5 块（3.56 秒）"):
        page.wait_for_function(f"words => ({TOLD})().includes(words)", arg=words)
    page.evaluate(SCHEDULE, "0s: a robot\n3s [seed x]: a cat")
    page.wait_for_function(f"words => ({TOLD})().includes(words)", arg="第 2 行：“seed x”不能作固定点的名称")
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / "words_zh_error.png")
    # what its user has changed is the user's
    mine = json.loads((FOLDER / "tiny_story.json").read_text())
    (note, *_) = [node for node in mine["nodes"] if node["type"] == "MarkdownNote"]
    note["widgets_values"][0] += "!"
    assert open_graph(page, mine)[0] == ["Read me", story.notes[0].text + "!"]
    assert open_graph(open_in("en"), saved) == [["Read me", story.notes[0].text], ["Try", story.notes[1].text]]


def test_every_page_and_picture_is_served(open_in):
    files = [file.relative_to(help_pages.DOCS).as_posix() for file in help_pages.DOCS.rglob("*.*")]
    assert len(files) >= 3 * len(NODES)
    assert open_in("en").evaluate(NOT_SERVED, files) == []


def _help_is_shown(page, node: str, language: str) -> None:
    text = help_pages.page_of(node, language).read_text(encoding="utf-8")
    page.locator("[data-testid=info-button]").click()
    page.locator(f"{HELP} h1").wait_for(timeout=20_000)
    assert page.locator(f"{HELP} h1").inner_text() == text.splitlines()[0].removeprefix("# ")
    assert page.locator(f"{HELP} img").count() == text.count("![")
    page.wait_for_function(LOADED)
    # every table is one, and none is left as text
    assert page.locator(f"{HELP} table").count() == text.count("| --- |\n")
    assert "| " not in page.locator(HELP).inner_text()
