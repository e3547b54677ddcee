"""The plan on the sampling nodes in a real browser, LiteGraph and Vue nodes: shown before a run, true to it, and set by
presets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
STORY = "0s: a robot walks in the meadow\n1s: an empty beach\n3s [cut]: the robot returns to the meadow"

BUILD = """async ([text, kind, tiny]) => {
    app.graph.clear();
    while (document.querySelector(".memflow-plan")) await new Promise(requestAnimationFrame);
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
    while (!document.querySelector(".memflow-plan")) await new Promise(requestAnimationFrame);
}"""
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
    plan.set("schedule", prompts="0s: a robot")
    plan.shows("One prompt all the way.")
    plan.page.locator(".mp-head").click()
    assert plan.rows.first.is_hidden() and plan.line.inner_text().startswith("9.56 s, 65 passes, about ")
    plan.shot("closed")
    plan.page.locator(".mp-head").click()
    assert plan.rows.count() == 4 and plan.rows.last.is_visible()
    # nothing of it is kept in the workflow
    assert "memflow_plan" not in plan.page.evaluate("() => JSON.stringify(app.graph.serialize())")


def test_a_preset_sets_values_says_them_and_is_undone_in_one_step(plan):
    plan.build("MemFlowSampler")
    plan.shows("a 1.3B model")
    before = plan.values()
    plan.page.locator(".mp-presets").click()
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
    assert {kind: estimate[kind] for kind in ("denoise", "context", "recache")} == {
        "denoise": 0, "context": 0, "recache": 0
    } | report["forwards"]  # fmt: skip
    # and the page shows the same for the very model
    shown = plan.rows.all_inner_texts()
    assert [line.replace("the tiny story model", "the model") for line in lines] == shown
    plan.shot("after")
