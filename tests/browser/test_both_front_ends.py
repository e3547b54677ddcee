"""What front ends differ in: previews and the video, undo of the graph, and what they warn of."""

from __future__ import annotations

import json

import pytest

from tools.comfy_host import ROOT

WORKFLOW = json.loads((ROOT / "workflows" / "tiny_story.json").read_text())
VUE = "vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)"
RUN = """seed => {
    const node = app.graph.nodes.find(n => n.type === "MemFlowStreamToVideo");
    node.widgets.find(w => w.name === "seed").value = seed;
    window.previews = [];
    app.queuePrompt(0, 1);
}"""
# videos, and pictures that are not ours, some time after each preview: on a slow page the last ones after the end
WATCH = """() => {
    const look = () => window.previews.push([
        [...document.querySelectorAll("video")].map(v => v.className),
        [...document.querySelectorAll(".video-preview, .image-preview, [data-node-id] img")]
            .filter(e => !e.closest(".mft, .memflow-film, .memflow-memory") && e.checkVisibility()).length,
    ]);
    app.api.addEventListener("b_preview_with_metadata", () => setTimeout(look, 60));
}"""
PLAYS = """number => [...document.querySelectorAll("video")].some(
    v => v.readyState > 0 && v.src.includes(`_0000${number}_.mp4`) && v.checkVisibility())"""
# parts of the pack on show, and whether each belongs to the node that is in the graph now
PANELS = [".mft", ".memflow-film", ".memflow-plan", ".memflow-memory"]
PLAYERS = ("mf-video", "mf-video mf-pixels")
LIVING = """kinds => kinds.every(kind => {
    const shown = [...document.querySelectorAll(kind)];
    const own = app.graph.nodes.flatMap(n => n.widgets ?? []).map(w => w.element).filter(e => e?.matches?.(kind));
    return shown.length === own.length && own.every(e => e.isConnected);
})"""
SETTLED = "() => new Promise(done => setTimeout(done, 900))"
MOVE = """() => {
    const node = app.graph.nodes.find(n => n.type === "MemFlowMemory");
    app.canvas.emitBeforeChange();
    node.pos = [node.pos[0] + 40, node.pos[1] + 40];
    app.canvas.emitAfterChange();
}"""
# where each deprecated name is read: a warning names the front end's own line alone
KEEP_STACKS = """() => {
    window.deprecations = [];
    const warn = console.warn;
    console.warn = (...words) => {
        if (String(words[0]).includes("deprecated")) window.deprecations.push(`${words[0]} ${new Error().stack}`);
        warn(...words);
    };
}"""


def short(length: int = 45) -> dict:
    workflow = json.loads(json.dumps(WORKFLOW))
    values = {node["type"]: node["widgets_values"] for node in workflow["nodes"]}
    values["MemFlowPromptSchedule"][0] = "0s: the meadow lies empty\n1s: a robot walks in the meadow"
    values["MemFlowStreamToVideo"][4] = length
    prefix = values["MemFlowStreamToVideo"].index("video/tiny_story")
    values["MemFlowStreamToVideo"][prefix] = "both/story"
    return workflow


@pytest.fixture
def console(new_page):
    """What a page wrote to its console as warnings and errors; append pages to `watch`."""
    lines = []

    def keep(line) -> None:
        if getattr(line, "type", "error") in ("warning", "error"):
            lines.append(line)

    def watch(page):
        page.on("console", keep)
        page.on("pageerror", keep)
        return page

    return lines, watch


@pytest.fixture(scope="module", autouse=True)
def kept_stacks(chromium):
    chromium.add_init_script(f"({KEEP_STACKS})()")


@pytest.fixture(params=["LiteGraph", "Vue nodes"])
def page(new_page, request, console):
    tab = console[1](new_page())
    tab.evaluate(VUE, request.param == "Vue nodes")
    tab.evaluate("workflow => app.loadGraphData(workflow)", short())
    tab.wait_for_function("n => app.graph.nodes.length === n", arg=len(WORKFLOW["nodes"]))
    tab.wait_for_function("kinds => kinds.every(kind => document.querySelector(kind))", arg=PANELS)
    yield tab
    tab.evaluate(VUE, False)
    tab.close()


def ours(lines: list) -> list[str]:
    """The lines that this pack is the cause of: it is named, or a script of it is where the line comes from."""
    texts = [(str(getattr(line, "text", line)), str(getattr(line, "location", ""))) for line in lines]
    return [text for text, place in texts if "memflow" in (text + place).lower()]


def files_of(comfy, folder: str) -> int:
    return len(list((comfy.output_dir / folder).glob("*.mp4")))


def test_with_previews_on_too_the_node_has_one_player(page, comfy):
    page.evaluate(WATCH)
    for _ in range(2):
        number = files_of(comfy, "both") + 1
        page.evaluate(RUN, number * 7919)
        page.wait_for_function(PLAYS, arg=number, timeout=180_000)
        seen = page.evaluate("() => window.previews")
        assert seen and {json.dumps(one) for one in seen} <= {json.dumps([[kind], 0]) for kind in PLAYERS}, seen
        assert page.evaluate("() => document.querySelectorAll('video').length") == 1


def test_after_an_undo_of_the_graph_its_nodes_show_their_own_panels(page):
    assert page.evaluate(LIVING, PANELS)
    page.evaluate(MOVE)
    page.evaluate(SETTLED)
    page.evaluate("() => app.extensionManager.command.execute('Comfy.Undo')")
    page.wait_for_function(LIVING, arg=PANELS)
    page.evaluate(SETTLED)
    assert page.evaluate(LIVING, PANELS)
    # what is written is shown on the strip, and what is set changes the plan
    page.evaluate("""() => {
        const widget = (type, name) => app.graph.nodes.find(n => n.type === type).widgets.find(w => w.name === name);
        app.canvas.emitBeforeChange();
        widget("MemFlowPromptSchedule", "prompts").value = "0s: one\\n1s: two\\n2s: three";
        widget("MemFlowPromptSchedule", "prompts").callback?.("");
        widget("MemFlowStreamToVideo", "length").value = 153;
        app.canvas.emitAfterChange();
    }""")
    page.wait_for_function("() => document.querySelectorAll('.mft-block').length === 3")
    page.wait_for_function("() => document.querySelector('.memflow-plan').textContent.includes('153 video frames')")


def test_one_undo_on_the_strip_undoes_one_step(page):
    text = "() => app.graph.nodes.find(n => n.type === 'MemFlowPromptSchedule').widgets[0].value"
    page.evaluate("() => document.querySelector('.mft-block').focus()")
    before = page.evaluate(text)
    page.keyboard.press("d")
    page.evaluate(SETTLED)
    assert page.evaluate(text).count("\n") == before.count("\n") + 1
    page.keyboard.press("Control+z")
    page.evaluate(SETTLED)
    assert page.evaluate(text) == before
    # the keys are still the strip's, and it has the step to do again
    page.keyboard.press("Control+y")
    page.evaluate(SETTLED)
    assert page.evaluate(text).count("\n") == before.count("\n") + 1
    assert page.evaluate("() => document.querySelector('.mft-lane [contenteditable]') === null")


def test_what_cannot_run_says_why_before_anything_does(page, comfy):
    page.evaluate("""() => {
        const schedule = app.graph.nodes.find(n => n.type === "MemFlowPromptSchedule");
        schedule.widgets[0].value = "0s: the meadow lies empty\\n1s: a robot walks\\n1.1s: an empty beach";
        app.queuePrompt(0, 1);
    }""")
    page.get_by_text("MemFlow Stream to Video cannot run", exact=True).wait_for()
    said = page.get_by_text("both fall on chunk 2 (1.31 s): set them at least 0.75 s apart, or leave one out.")
    # the plan has it too, cut to a line
    assert any(text.startswith("segment 2 (") for text in said.all_inner_texts())
    queue = comfy.get("/queue")
    assert queue["queue_running"] == queue["queue_pending"] == []


def test_nothing_of_ours_is_warned_of(page, console):
    lines, _ = console
    page.evaluate("""() => {
        const nodes = app.graph.nodes.filter(n => n.type.startsWith("MemFlow"));
        app.canvas.graph.convertToSubgraph(new Set(nodes.filter(n => n.type !== "MemFlowPromptSchedule")));
    }""")
    page.evaluate(MOVE.replace('app.graph.nodes.find(n => n.type === "MemFlowMemory")', "app.graph.nodes[0]"))
    page.evaluate(SETTLED)
    stacks = page.evaluate("() => window.deprecations")
    assert [stack for stack in stacks if "memflow" in stack.lower()] == []
    assert ours(lines) == []
