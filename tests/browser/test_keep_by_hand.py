"""Saving where a story stands and going on from it another time, by hand in a real browser."""

from __future__ import annotations

BUILD = """async () => {
    app.graph.clear();
    const add = (type, x, y, values = {}) => {
        const node = LiteGraph.createNode(type);
        app.graph.add(node);
        node.pos = [x, y];
        for (const [name, value] of Object.entries(values)) node.widgets.find(w => w.name === name).value = value;
        return node;
    };
    const link = (from, slot, to, name) => from.connect(slot, to, to.inputs.findIndex(i => i.name === name));
    const small = {width: 64, height: 64, steps: "1000", seed: 601};
    const tiny = add("MemFlowTinyStory", 20, 60);
    const schedule = add("MemFlowPromptSchedule", 20, 220, {prompts: "0s: a robot walks in the meadow"});
    const save = add("MemFlowSaveState", 860, 60, {filename_prefix: "by_hand"});
    const load = add("MemFlowLoadState", 860, 260);
    const stream = add("MemFlowStreamToVideo", 480, 60, {...small, length: 45, filename_prefix: "by_hand"});
    link(tiny, 0, stream, "model");
    link(tiny, 1, schedule, "clip");
    link(tiny, 2, stream, "vae");
    link(schedule, 0, stream, "schedule");
    link(stream, 1, save, "state");
    window.kept = {stream, save, load, link};
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [0, 0];
    app.canvas.setDirty(true, true);
}"""
SAVED = "() => app.nodeOutputs[window.kept.save.id]?.text?.[0] ?? null"
LISTED = "() => window.kept.load.widgets[0].options.values"
CHOOSER = """() => {
    const {load} = window.kept, {ds, canvas} = app.canvas, box = canvas.getBoundingClientRect();
    const at = [load.pos[0] + load.size[0] / 2, load.pos[1] + load.widgets[0].last_y + 10];
    return [box.left + (at[0] + ds.offset[0]) * ds.scale, box.top + (at[1] + ds.offset[1]) * ds.scale];
}"""
# the same node goes on: what it was given is the only change
GO_ON = """() => {
    const {stream, save, load, link} = window.kept;
    app.graph.remove(save);
    link(load, 0, stream, "state");
    stream.widgets.find(w => w.name === "length").value = 24;
}"""
# the page loads a video a moment after the run is over
PLAYS = "seconds => Math.abs((document.querySelector('video')?.duration ?? NaN) - seconds) < 0.01"


def queue(page) -> None:
    page.locator("[data-testid=queue-button]").click()


def test_a_story_saved_today_goes_on_from_the_file_that_r_brought_into_the_list(page):
    page.evaluate(BUILD)
    queue(page)
    page.wait_for_function(SAVED, timeout=120_000)
    name = page.evaluate(SAVED).split(": ")[0]
    assert name == "memflow_states/by_hand_00001_.safetensors [output]"
    page.wait_for_function(PLAYS, arg=45 / 16)
    assert name not in page.evaluate(LISTED)

    page.mouse.click(800, 850)
    page.keyboard.press("r")
    page.wait_for_function(f"name => ({LISTED})().includes(name)", arg=name)
    page.mouse.click(*page.evaluate(CHOOSER))
    page.locator(".litecontextmenu").get_by_text(name).click()
    assert page.evaluate("() => window.kept.load.widgets[0].value") == name

    page.evaluate(GO_ON)
    queue(page)
    page.wait_for_function(PLAYS, arg=24 / 16, timeout=120_000)
    assert page.evaluate("() => app.graph.nodes.filter(node => node.has_errors).length") == 0
