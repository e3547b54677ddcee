"""The workflow files in ComfyUI's template browser and on its canvas, as a user meets them."""

from __future__ import annotations

import json

import pytest

from tests.comfyui.test_workflow_files import NEED_WEIGHTS
from tools.comfy_host import PACK_NAME, ROOT

FILES = {path.stem: path for path in sorted((ROOT / "workflows").glob("*.json"))}
PICTURE_PX = 384  # test_workflow_files looks at height and form
MOST_CLICKS = 3
RENDERERS = ["LiteGraph", "Vue nodes"]
# the front end asks other sites about missing files and the packs that want them, which nothing here can reach, and
# warns of its own panels
NOT_OURS = (
    "Content Security Policy",
    "comfy.org",
    "ERR_NAME_NOT_RESOLVED",
    "ERR_INTERNET_DISCONNECTED",
    "Invalid layout",
    # the front end's own scripts still read it; test_both_front_ends looks at who does
    "input.link is deprecated",
)
COMPLAINTS = """() => {
    const kinds = ".p-dialog, .p-toast-message, [data-testid=toast], .comfy-missing-nodes, [role=alertdialog], "
        + "[data-testid=error-overlay]";
    return [...document.querySelectorAll(kinds)].map(e => e.innerText);
}"""
BROKEN = "() => app.graph.nodes.filter(n => n.has_errors || n.type === null).map(n => n.type)"
# nodes over one another, titles counted
COVERED = """() => {
    const nodes = app.graph.nodes, covers = (a, b) => a.boundingRect[0] < b.boundingRect[0] + b.boundingRect[2]
        && b.boundingRect[0] < a.boundingRect[0] + a.boundingRect[2]
        && a.boundingRect[1] < b.boundingRect[1] + b.boundingRect[3]
        && b.boundingRect[1] < a.boundingRect[1] + a.boundingRect[3];
    return nodes.flatMap((a, i) => nodes.slice(i + 1).filter(b => covers(a, b)).map(b => [a.title, b.title]));
}"""
# boxes of nodes on the canvas as either renderer draws them: left, top, width, height in the graph's pixels
BOXES = """() => app.graph.nodes.map(node => {
    const drawn = window.LiteGraph.vueNodesMode && document.querySelector(`[data-node-id="${node.id}"]`);
    if (!drawn) return [node.title, ...node.boundingRect];
    const {width, height} = drawn.getBoundingClientRect(), {scale} = app.canvas.ds;
    return [node.title, node.pos[0], node.pos[1] - 30, width / scale, height / scale];
})"""
GROUPS = "() => app.graph.groups.map(group => [...group.pos, ...group.size])"
# notes that hide some of their text: how much wider and higher it is than what is drawn, in pixels
CUT_NOTES = """() => app.graph.nodes.filter(n => n.type === "MarkdownNote").flatMap(note => {
    const drawn = window.LiteGraph.vueNodesMode && document.querySelector(`[data-node-id="${note.id}"]`);
    const all = (drawn || note.widgets[0].element).querySelectorAll(".comfy-markdown-content, .tiptap");
    return [...all].map(e => [note.title, e.scrollWidth - e.clientWidth, e.scrollHeight - e.clientHeight]);
}).filter(([, wide, high]) => wide > 1 || high > 1)"""
# the smallest window that ComfyUI, which fits a graph to three quarters of it, shows a story in at 60 % or more, below
# which LiteGraph draws no text; the second where two pictures are drawn, or three films are made
SMALL, LARGE = ((1280, 720), (1600, 900))
LARGER = {"continue_and_branch", "picture_to_story"}
LEAST_SCALE = 0.6
# of a graph that opens in a window: what LiteGraph draws text by, and whether it does
SCALE = "() => [app.canvas.ds.scale, Boolean(app.canvas.low_quality)]"
MOST_HIGH = 900
# text of the page's own that is cut off, or runs out of its button
CUT_TEXT = """() => [...document.querySelectorAll(".mft-bar .mft-button, .mm-title, .mm-tools button")]
    .filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"""
# buttons that lie over the next one
OVER = """() => [...document.querySelectorAll(".mft-bar, .mm-tools")].flatMap(bar => {
    const boxes = [...bar.children].filter(e => e.offsetParent).map(e => e.getBoundingClientRect());
    const {right} = bar.getBoundingClientRect();
    return boxes.slice(1).filter((box, i) => box.left < boxes[i].right - 1 || box.right > right + 1)
        .map(box => [bar.className, box.left]);
})"""
# the same story with one step a chunk, films of 45 frames, and a seed of its own: what is cached shows no previews
QUICK = """seed => {
    for (const node of app.graph.nodes) for (const widget of node.widgets ?? []) {
        if (widget.name === "seed") widget.value = seed;
        if (widget.name === "steps") widget.value = "1000";
        if (widget.name === "length" && node.type === "MemFlowStreamToVideo") widget.value = 45;
    }
    window.ended = 0;
    app.api.addEventListener("execution_success", () => window.ended++);
    app.queuePrompt(0, 1);
}"""
CARDS = """() => [...document.querySelectorAll("[data-testid^=template-workflow-]")]
    .map(card => card.dataset.testid.replace("template-workflow-", ""))"""
# a card out of sight has no picture
PICTURE_WIDTH = "name => document.querySelector(`[data-testid=template-workflow-${name}] img`)?.naturalWidth"
SHOWN_VIDEO = """() => {
    const isFilm = video => video.readyState > 0 && video.src.includes("_.mp4");
    const video = [...document.querySelectorAll("video")].find(isFilm);
    if (!video) return null;
    const box = video.getBoundingClientRect();
    return {seconds: video.duration, top: box.top, bottom: box.bottom, height: innerHeight};
}"""


def read(name: str) -> dict:
    return json.loads(FILES[name].read_text())


class Mouse:
    """Clicks where a user would, and counts. Looking for something, by scrolling too, is no click."""

    def __init__(self, page) -> None:
        self.page, self.clicks = page, 0

    def click(self, locator) -> None:
        locator.scroll_into_view_if_needed()
        box = locator.bounding_box()
        self.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.clicks += 1


def test_a_first_time_user_finishes_a_tiny_story_in_three_clicks(chromium, comfy, tmp_path):
    # whatever other tests have left
    comfy.post("/free", {"free_memory": True})
    comfy.post("/settings", {"Comfy.TutorialCompleted": False})
    page = chromium.new_page()
    page.add_init_script("if (!sessionStorage.begun) { localStorage.clear(); sessionStorage.begun = true; }")
    page.goto(comfy.url, wait_until="domcontentloaded")
    mouse = Mouse(page)
    category = page.locator("[role=dialog]").get_by_text(PACK_NAME, exact=True)
    # opens by itself on ComfyUI's first start
    category.wait_for(timeout=120_000)
    mouse.click(category)
    page.locator("[data-testid=template-workflow-tiny_story]").wait_for()
    assert sorted(page.evaluate(CARDS)) == sorted(FILES)
    for name in FILES:
        # each with its own picture, which is larger than the one that ComfyUI shows for none
        page.locator(f"[data-testid=template-workflow-{name}]").scroll_into_view_if_needed()
        page.wait_for_function(f"name => ({PICTURE_WIDTH})(name) === {PICTURE_PX}", arg=name)
    mouse.click(page.locator("[data-testid=template-workflow-tiny_story]"))
    page.wait_for_function("n => app.graph.nodes.length === n", arg=len(read("tiny_story")["nodes"]))
    mouse.click(page.locator("[data-testid=queue-button]"))
    page.wait_for_function(f"() => ({SHOWN_VIDEO})()", timeout=300_000)
    video = page.evaluate(SHOWN_VIDEO)
    page.screenshot(path=tmp_path / "finished.png")
    assert mouse.clicks <= MOST_CLICKS
    assert video["seconds"] == pytest.approx(537 / 16)
    # in sight as it is, but for a margin, without scrolling or zooming
    assert video["top"] >= 0 and video["bottom"] - video["height"] < 0.1 * (video["bottom"] - video["top"])
    assert page.evaluate(COMPLAINTS) == []
    page.close()


@pytest.fixture(scope="module")
def tab(new_page):
    """One page for every test here."""
    page = new_page()
    yield page
    page.close()


@pytest.fixture
def console(tab):
    """What the page wrote to its console as warnings and errors."""
    lines = []

    def on_console(message):
        if message.type in ("warning", "error"):
            lines.append(message.text)

    tab.on("console", on_console)
    yield lines
    tab.remove_listener("console", on_console)


def open_workflow(page, workflow: dict) -> None:
    # what the workflow before was told of
    close = "() => document.querySelectorAll('[data-testid=toast-close]').forEach(button => button.click())"
    page.evaluate(close)
    page.wait_for_function("() => !document.querySelector('.p-toast-message, [data-testid=toast]')")
    page.evaluate("workflow => app.loadGraphData(workflow)", workflow)
    page.wait_for_function("n => app.graph.nodes.length === n", arg=len(workflow["nodes"]))
    # later than the nodes: the search for missing files
    page.wait_for_timeout(700)


def missing_files(page) -> set[tuple[str, str]]:
    """(name, folder) of every file that the front end offers to download."""
    page.locator("[data-testid=error-overlay-see-errors]").click()
    rows = page.locator("[data-testid=missing-model-importable-rows]")
    rows.wait_for()
    lines = [line for line in rows.inner_text().splitlines() if line and line != "Download"]
    assert page.locator("[data-testid=missing-model-download]").count() == len(lines) / 2
    return set(zip(lines[::2], lines[1::2], strict=True))


@pytest.mark.parametrize("name", FILES)
def test_it_opens_without_a_warning_and_saves_as_it_was(name, tab, console):
    workflow = read(name)
    open_workflow(tab, workflow)
    if name in NEED_WEIGHTS:
        models = [model for node in workflow["nodes"] for model in node["properties"].get("models", ())]
        tab.wait_for_selector("[data-testid=error-overlay]")
        (complaint,) = tab.evaluate(COMPLAINTS)
        # in the words of one front end, or of the other
        assert f"{len(models)} errors found" in complaint or f"{len(models)} issues found" in complaint
        assert missing_files(tab) == {(model["name"], model["directory"]) for model in models}
    else:
        # a slow page may show late what the workflow before was told of: it goes, and a complaint stays
        tab.wait_for_function(f"() => ({COMPLAINTS})().length === 0")
        assert tab.evaluate(BROKEN) == []
    assert tab.evaluate(COVERED) == []
    # no timeline finds fault with its schedule
    assert tab.locator(".mft-bad").count() == 0
    assert [line for line in console if not any(part in line for part in NOT_OURS)] == []
    again = tab.evaluate("() => app.graph.serialize()")
    assert widgets(again) == widgets(workflow)
    assert sorted(map(tuple, again["links"])) == sorted(map(tuple, workflow["links"]))
    assert models_of(again) == models_of(workflow)


def widgets(workflow: dict) -> dict:
    # Preview as Text saves what it shows
    nodes = [node for node in workflow["nodes"] if node["type"] != "PreviewAny"]
    return {node["id"]: node.get("widgets_values") or [] for node in nodes}


def models_of(workflow: dict) -> dict:
    return {node["id"]: node["properties"].get("models") for node in workflow["nodes"]}


def test_a_memory_saved_before_it_had_later_inputs_opens_as_it_was(tab):
    workflow = read("tiny_story")
    (memory,) = [node for node in workflow["nodes"] if node["type"] == "MemFlowMemory"]
    for saved in (["Sharper memory"], ["Custom", "prompt", 5, 2, 0, 3, 6, "auto", True]):
        memory["widgets_values"] = saved
        later = (
            "cache",
            "bank_keys",
            "archive",
            "archive_rule",
            "bank_layers",
            "archive_gb",
            "admission",
            "look_ahead",
        )
        memory["inputs"] = [slot for slot in memory["inputs"] if slot["name"] not in later]
        open_workflow(tab, workflow)
        again = tab.evaluate("() => app.graph.serialize()")
        assert widgets(again)[memory["id"]] == [*saved, "model", "made", "off", "words", "all", 8, "clock", False]


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("name", FILES)
def test_no_node_lies_on_another_and_the_whole_can_be_read(name, renderer, tab):
    tab.evaluate("vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)", renderer == "Vue nodes")
    try:
        open_workflow(tab, read(name))
        if renderer == "Vue nodes":
            tab.wait_for_function(
                "() => app.graph.nodes.every(n => document.querySelector(`[data-node-id='${n.id}']`))"
            )
            tab.wait_for_timeout(700)
        boxes, groups = tab.evaluate(BOXES), tab.evaluate(GROUPS)
        assert tab.evaluate(CUT_NOTES) == []
    finally:
        tab.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
    assert covered(boxes) == []
    # a node is in a group as a whole, or not at all
    for frame in groups:
        inside = [box for box in boxes if frame[0] <= box[1] < frame[0] + frame[2]]
        assert inside and all(is_within(box, frame) for box in inside)
    assert [(title, high) for title, *_, high in boxes if high > MOST_HIGH] == []


def covered(boxes: list) -> list[tuple[str, str]]:
    """The titles of nodes of which one lies on the other."""
    return [
        (a[0], b[0])
        for index, a in enumerate(boxes)
        for b in boxes[index + 1 :]
        if a[1] < b[1] + b[3] and b[1] < a[1] + a[3] and a[2] < b[2] + b[4] and b[2] < a[2] + a[4]
    ]


def is_within(box: list, frame: list) -> bool:
    _, left, top, width, height = box
    return (
        frame[0] <= left
        and left + width <= frame[0] + frame[2]
        and frame[1] <= top
        and top + height <= sum(frame[1::2])
    )


@pytest.mark.parametrize("name", FILES)
def test_its_text_is_drawn_as_it_opens(name, tab):
    width, height = LARGE if name in LARGER else SMALL
    before = tab.viewport_size
    tab.set_viewport_size({"width": width, "height": height})
    try:
        open_workflow(tab, read(name))
        tab.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        tab.wait_for_timeout(700)
        scale, is_rough = tab.evaluate(SCALE)
        assert scale >= LEAST_SCALE and not is_rough
        assert tab.evaluate(CUT_TEXT) == [] and tab.evaluate(OVER) == []
    finally:
        tab.set_viewport_size(before)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("name", sorted(LARGER))
def test_no_node_comes_to_lie_on_another_when_it_runs(name, renderer, tab):
    tab.evaluate("vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)", renderer == "Vue nodes")
    try:
        open_workflow(tab, read(name))
        tab.evaluate(QUICK, RENDERERS.index(renderer))
        tab.wait_for_function("() => window.ended > 0", timeout=300_000)
        tab.wait_for_timeout(1500)
        boxes = tab.evaluate(BOXES)
    finally:
        tab.evaluate("() => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', false)")
    assert covered(boxes) == []
