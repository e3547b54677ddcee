"""The plan on the sampling nodes in a real browser, LiteGraph and Vue nodes: shown before a run, true to it, and set by
presets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.browser.until import with_until

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
# what a new Prompt Schedule says
FRESH = "0s: a robot walks across the meadow\n4s: the beach lies empty\n8s: the robot returns to the meadow"
STORY = "0s: a robot walks in the meadow\n1s: an empty beach\n3s [cut]: the robot returns to the meadow"

BUILD = with_until("""async ([text, kind, tiny]) => {
    app.graph.clear();
    await until(() => !document.querySelector(".memflow-plan"));
    const add = (type, x, y) => {
        const node = LiteGraph.createNode(type);
        app.graph.add(node);
        node.pos = [x, y];
        return node;
    };
    const link = (from, slot, to, name) => from.connect(slot, to, to.inputs.findIndex(i => i.name === name));
    const schedule = add("MemFlowPromptSchedule", 80, 80);
    const sampler = add(kind, 700, 80);
    sampler.setSize([420, sampler.size[1]]);
    // Vue nodes take up the values of an earlier node of that number
    const usual = {width: 832, height: 480, length: 81, fps: 16, steps: "1000, 750, 500, 250"};
    for (const [name, value] of Object.entries(usual)) sampler.widgets.find(w => w.name === name).value = value;
    schedule.widgets.find(w => w.name === "prompts").value = text;
    link(schedule, 0, sampler, "schedule");
    if (tiny) {
        const model = add("MemFlowTinyStory", 80, 640);
        link(model, 1, schedule, "clip");
        link(model, 0, sampler, "model");
        if (kind === "MemFlowStreamToVideo") link(model, 2, sampler, "vae");
    }
    window.ids = {schedule: schedule.id, sampler: sampler.id};
    await app.extensionManager.command.execute("Comfy.Canvas.ResetView");
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [0, 0];
    app.canvas.setDirty(true, true);
    app.canvas.emitBeforeChange();
    app.canvas.emitAfterChange();
    await until(() => document.querySelector(".memflow-plan"));
}""")
SET = """([node, values]) => {
    app.canvas.emitBeforeChange();
    for (const [name, value] of Object.entries(values)) {
        app.graph.getNodeById(window.ids[node]).widgets.find(w => w.name === name).value = value;
    }
    app.canvas.emitAfterChange();
}"""
VALUES = """() => {
    const sampler = app.graph.getNodeById(window.ids.sampler);
    const memory = app.graph.nodes.find(n => n.comfyClass === "MemFlowMemory");
    const value = (node, name) => node?.widgets.find(w => w.name === name)?.value ?? null;
    return {...Object.fromEntries(["width", "height", "steps", "length"].map(n => [n, value(sampler, n)])),
            memory: value(memory, "preset"), nodes: app.graph.nodes.length};
}"""
CONTROLS = """controls => {
    const sampler = app.graph.getNodeById(window.ids.sampler);
    const slot = (node, name) => node.inputs.findIndex(i => i.name === name);
    const add = (type, y) => {
        const node = LiteGraph.createNode(type);
        app.graph.add(node);
        node.pos = [80, y];
        return node;
    };
    app.canvas.emitBeforeChange();
    const weights = add("MemFlowLoadControl", 640);
    weights.connect(0, sampler, slot(sampler, "model"));
    window.ids.weights = weights.id;
    let before = null;
    for (const [number, values] of controls.entries()) {
        const node = add("MemFlowControl", 760 + 300 * number);
        // Vue nodes take up the values of an earlier node of that number
        const all = {start: "0s", end: "", strength: 1, use: "steer", ...values};
        for (const [name, value] of Object.entries(all)) node.widgets.find(w => w.name === name).value = value;
        if (before) before.connect(0, node, slot(node, "control"));
        window.ids[`control${number}`] = node.id;
        before = node;
    }
    before.connect(0, sampler, slot(sampler, "control"));
    app.canvas.emitAfterChange();
}"""
UNLINK = """([node, name]) => {
    app.canvas.emitBeforeChange();
    const from = app.graph.getNodeById(window.ids[node]);
    from.disconnectInput(from.inputs.findIndex(i => i.name === name));
    app.canvas.emitAfterChange();
}"""
# of each mark of a control: label, tooltip, and where it begins and ends, in percent of the track
MARKS = """() => [...document.querySelectorAll(".mft-control")].map(mark => {
    const [left, width] = [mark.style.left, mark.style.width].map(parseFloat);
    return [mark.textContent, mark.title, Math.round(left), Math.round(left + width)];
})"""
BELOW = """() => {
    const place = one => document.querySelector(one).getBoundingClientRect();
    const [lane, track] = [place(".mft-lane"), place(".mft-controls")];
    return [track.top >= lane.bottom - 1, track.height > 0, lane.height > 0];
}"""
LINE = "words => document.querySelector('.memflow-plan')?.innerText.includes(words)"


class Plan:
    """The plan on the one sampling node of a page."""

    def __init__(self, page) -> None:
        self.page = page
        self.root = page.locator(".memflow-plan")
        self.rows = page.locator(".mp-row")
        self.line = page.locator(".mp-line")
        self.panel = page.locator(".mp-told")
        self.menu = page.locator(".memflow-menu")

    def build(self, kind: str = "MemFlowStreamToVideo", tiny: bool = False, text: str = STORY) -> None:
        self.page.evaluate(BUILD, [text, kind, tiny])
        self.open()

    def open(self) -> None:
        """Show all lines; a new node shows one."""
        self.page.wait_for_function("() => document.querySelectorAll('.memflow-plan').length === 1")
        self.page.evaluate(
            """() => {
                const head = document.querySelector(".mp-head");
                if (head.getAttribute("aria-expanded") === "false") head.click();
            }"""
        )

    def set(self, node: str, **values) -> None:
        self.page.evaluate(SET, [node, values])

    def shows(self, words: str) -> None:
        self.page.wait_for_function(LINE, arg=words)

    def values(self) -> dict:
        return self.page.evaluate(VALUES)

    def choose(self, name: str) -> None:
        self.page.locator(".mp-presets").click()
        self.menu.get_by_role("menuitem", name=name).click()

    def shot(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(path=ARTIFACTS / f"plan_{self.kind}_{name}.png")


@pytest.fixture(scope="module")
def tab(new_page):
    page, errors = new_page(), []
    page.set_default_timeout(30_000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


@pytest.fixture(params=["LiteGraph", "Vue nodes"])
def plan(tab, request):
    enable = "vue => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', vue)"
    tab.evaluate(enable, request.param == "Vue nodes")
    made = Plan(tab)
    made.kind = request.param.split()[0].lower()
    yield made
    tab.evaluate(enable, False)


def test_controls_stand_on_a_track_below_the_prompts(plan):
    plan.build()
    plan.page.evaluate(CONTROLS, [{"end": "2s"}, {"start": "50%", "strength": 0.5, "use": "show"}])
    plan.shows("Control: ")
    plan.page.wait_for_function("() => document.querySelectorAll('.mft-control').length === 2")
    # the axis goes on for 3 s behind the story's end, at 63 %
    assert plan.page.evaluate(MARKS) == [
        ["1 steer", "Control 1: steer, 0 s to 2 s", 0, 25],
        ["2 show 0.5", "Control 2: show, from 2.44 s to where its pictures end, strength 0.5", 30, 63],
    ]
    assert plan.page.evaluate(BELOW) == [True, True, True]
    plan.shot("controls")
    plan.set("control1", end="3s")
    plan.page.wait_for_function("() => document.querySelectorAll('.mft-control')[1]?.title.includes('2.44 s to 3 s')")
    # what cannot be run says so, and what is known stays in sight
    plan.set("control1", start="1s")
    plan.shows("let one end where the next one starts")
    assert len(plan.page.evaluate(MARKS)) == 2
    plan.set("control1", start="2s")
    plan.shows("Control: ")
    plan.page.evaluate(UNLINK, ["sampler", "model"])
    plan.shows("put MemFlow Load Control")
    plan.page.evaluate(UNLINK, ["sampler", "control"])
    plan.page.wait_for_function("() => !document.querySelector('.mft-control')")
    assert plan.page.evaluate("() => document.querySelector('.mft-controls').getBoundingClientRect().height") == 0


def test_the_plan_follows_what_is_set(plan):
    plan.build()
    plan.shows("5.06 s: 81 video frames in 7 chunks")
    plan.shows("Prompts change at 1.31 s (recache), 3.56 s (cut).")
    plan.shows("a 1.3B model")
    plan.shot("stream")
    plan.set("sampler", length=153)
    plan.shows("9.56 s: 153 video frames")
    plan.set("schedule", prompts="0s: a robot\n60s: a cat")
    plan.shows("The schedule: ")
    plan.set("schedule", prompts="0s: a robot\n9s: a cat\n8s: a dog")
    plan.shows("cannot be run like this")
    assert plan.page.locator(".mp-problem").count() == 1
    plan.shot("problem")
    # in one line, too
    assert "is no later than segment 2" in plan.line.inner_text()
    plan.set("schedule", prompts="0s: a robot")
    plan.shows("One prompt all the way.")
    plan.page.locator(".mp-head").click()
    assert plan.rows.first.is_hidden() and plan.line.inner_text().startswith("9.56 s, about ")
    plan.shot("closed")
    plan.page.locator(".mp-head").click()
    # the tests' host computes on its CPU, which is a line of its own
    assert plan.rows.count() == 5 and plan.rows.last.is_visible()
    # nothing of it is kept in the workflow
    assert "memflow_plan" not in plan.page.evaluate("() => JSON.stringify(app.graph.serialize())")


FILM = "() => [...document.querySelectorAll('video')].some(video => video.src.includes('_.mp4'))"


def test_nodes_that_are_fresh_from_the_menu_run_after_one_click(plan):
    """The tiny model, a schedule and Stream to Video, whose size is that of other models: the plan says so."""
    plan.build(tiny=True, text=FRESH)
    plan.shows("this model draws 64 x 64 alone")
    plan.shows("at 832 x 480 it makes noise")
    plan.page.locator(".mp-offer").click()
    values = plan.values()
    assert (values["width"], values["height"], values["length"]) == (64, 64, 81)
    # a prompt that lies past the end is left out, and told
    plan.shows("5.06 s: 81 video frames")
    assert plan.page.locator(".mp-offer").is_hidden()
    plan.page.evaluate("() => app.queuePrompt(0, 1)")
    plan.page.wait_for_function(FILM, timeout=300_000)


OF_CHUNKS = """async frames => {
    const nodes = app.graph.nodes;
    const find = type => nodes.find(node => node.comfyClass === type);
    let profile = find("MemFlowProfile");
    const sampler = app.graph.getNodeById(window.ids.sampler);
    if (!profile) {
        profile = LiteGraph.createNode("MemFlowProfile");
        app.graph.add(profile);
        profile.pos = [80, 760];
        const into = node => node.inputs.findIndex(input => input.name === "model");
        find("MemFlowTinyStory").connect(0, profile, into(profile));
        profile.connect(0, sampler, into(sampler));
    }
    app.canvas.emitBeforeChange();
    profile.widgets.find(widget => widget.name === "chunk_frames").value = frames;
    app.canvas.emitAfterChange();
}"""
BLOCK = """([index, words]) =>
    document.querySelectorAll(".mft-block")[index]?.getAttribute("aria-label").includes(words)"""


def test_plan_and_timeline_go_by_the_chunks_of_the_model(plan):
    plan.build(tiny=True, text="0s: a robot walks in the meadow\n1s: an empty beach")
    plan.shows("81 video frames in 7 chunks")
    block = lambda words: plan.page.wait_for_function(BLOCK, arg=[1, words])  # noqa: E731
    block("1.31 s")
    for frames, chunks, start in (
        (8, "93 video frames in 3 chunks", "1.81 s"),
        (1, "81 video frames in 21", "1.06 s"),
    ):
        plan.page.evaluate(OF_CHUNKS, frames)
        plan.shows(chunks)
        plan.shows(f"chunks of {frames} latent frames")
        block(start)
    plan.shot("chunks")


def test_a_preset_sets_values_says_them_and_is_undone_in_one_step(plan):
    plan.build("MemFlowSampler")
    plan.shows("a 1.3B model")
    before = plan.values()
    plan.page.locator(".mp-presets").click()
    # the server is asked for them
    plan.menu.locator("button").first.wait_for()
    labels = plan.menu.locator("button").all_inner_texts()
    assert [label.split("\n")[0] for label in labels] == [
        "Official MemFlow", "Sharper memory", "12 GB", "8 GB", "Draft",
    ]  # fmt: skip
    plan.shot("presets")
    plan.page.keyboard.press("Escape")
    plan.choose("Draft")
    made = plan.values()
    assert made == before | {"width": 480, "height": 272, "steps": "1000, 500", "memory": "Story", "nodes": 3}
    plan.panel.wait_for()
    assert plan.panel.inner_text() == (
        "Draft set width 832 → 480, height 480 → 272, steps 1000, 750, 500, 250 → 1000, 500, memory none → Story, in a "
        "new MemFlow Memory. Already so: shift 5."
    )
    plan.choose("Sharper memory")
    assert plan.values() == made | {
        "width": 832, "height": 480, "steps": "1000, 750, 500, 250", "memory": "Sharper memory",
    }  # fmt: skip
    plan.shows("memory Story → Sharper memory")
    plan.shot("preset")
    for state in (made, before):
        plan.page.evaluate("() => app.extensionManager.command.execute('Comfy.Undo')")
        plan.page.wait_for_function(f"state => JSON.stringify(({VALUES})()) === JSON.stringify(state)", arg=state)
        # nodes are made anew, and so is what they show
        plan.open()
        plan.shows("a 1.3B model")
        assert plan.panel.is_hidden()


def test_the_plan_and_the_presets_speak_the_pages_language(comfy, new_page):
    comfy.post("/settings", {"Comfy.Locale": "zh"})
    page = new_page()
    try:
        plan = Plan(page)
        plan.kind = "chinese"
        plan.build("MemFlowSampler")
        plan.shows("5.06 秒：81 个视频帧，分为 7 块，模型运行 36 次。")
        plan.shows("提示词切换：1.31 s (recache), 3.56 s (cut)。")
        page.locator(".mp-presets").click()
        plan.menu.locator("small").first.wait_for()
        hints = " ".join(plan.menu.locator("small").all_inner_texts())
        assert "适合 16 GB 显卡。" in hints and "480 x 272，步数 1000, 500，移位 5" in hints
        page.keyboard.press("Escape")
        plan.choose("Draft")
        plan.shows("Draft 已设置：宽度 832 → 480, 高度 480 → 272")
        plan.shows("记忆 无 → Story")
        plan.shot("draft")
    finally:
        page.close()
        comfy.post("/settings", {"Comfy.Locale": "en"})


def test_what_another_node_gives_is_told_plainly(plan):
    plan.build()
    plan.page.evaluate(
        """() => {
            const sampler = app.graph.getNodeById(window.ids.sampler);
            const state = LiteGraph.createNode("MemFlowLoadState");
            app.graph.add(state);
            state.pos = [20, 700];
            app.canvas.emitBeforeChange();
            state.connect(0, sampler, sampler.inputs.findIndex(i => i.name === "state"));
            app.canvas.emitAfterChange();
        }"""
    )
    plan.shows("This run goes on from a state: the plan is told when the run starts.")


def test_a_run_comes_to_what_its_plan_said(plan, comfy):
    """On the tiny model, whose sizes the page knows."""
    plan.build("MemFlowStreamToVideo", tiny=True)
    small = {"width": 64, "height": 64, "steps": "1000", "length": 69}
    plan.set("sampler", seed=910 if plan.kind == "vue" else 911, **small)
    plan.shows("4.31 s: 69 video frames")
    plan.shows("the tiny story model")
    lines = plan.rows.all_inner_texts()
    plan.shot("tiny")
    done = len(comfy.get("/history"))
    prompt = plan.page.evaluate(
        """async () => {
            const show = LiteGraph.createNode("PreviewAny");
            app.graph.add(show);
            show.pos = [1100, 60];
            app.graph.getNodeById(window.ids.sampler).connect(2, show, 0);
            const {output} = await app.graphToPrompt();
            await app.queuePrompt(0, 1);
            return [output, String(show.id)];
        }"""
    )
    while len(comfy.get("/history")) == done:
        plan.page.wait_for_timeout(100)
    run = list(comfy.get("/history").values())[-1]
    report = json.loads(run["outputs"][prompt[1]]["text"][0])
    estimate = report["estimate"]
    assert [switch["start_frame"] for switch in estimate["switches"]] == [
        segment["start_frame"] for segment in report["plan"]["segments"][1:]
    ]
    passes = {"denoise": 0, "context": 0, "recache": 0, "moment": 0} | report["forwards"]
    # what the archive brings back is known when it is asked
    assert 0 < passes.pop("moment") <= estimate["moments"]
    assert {kind: estimate[kind] for kind in passes} == passes
    # and the page shows the same for the very model
    shown = plan.rows.all_inner_texts()
    assert [line.replace("the tiny story model", "the model") for line in lines] == shown
    plan.shot("after")
