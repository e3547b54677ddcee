"""The timeline of one MemFlow Prompt Schedule on a page, as a user's hands and eyes have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from memflow_core.schedule import read_schedule
from tests.browser.until import with_until

ARTIFACTS = Path(__file__).resolve().parents[1] / "artifacts"
STORY = """# my story
0s: a robot walks
4s [cut]: an empty beach
8s: the robot returns"""
STARTS_S = [0, 4.3125, 8.0625]


# a schedule node on its way to a sampler of 153 video frames, and the view fitted to it
BUILD = with_until("""async ([text, length]) => {
    app.graph.clear();
    // Vue nodes of an old graph go a moment later
    await until(() => !document.querySelector(".mft"));
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
    await until(() => timeline.element.isConnected);
    timeline.setFocus(0);
}""")
# blocks find their places over a few frames, more of them on a busy machine
STILL = with_until("""async () => {
    const places = () => [...document.querySelectorAll(".mft-block")].map(one => {
        const {x, y, width} = one.getBoundingClientRect();
        return [x, y, width];
    }).join();
    let last = "", same = 0;
    await until(() => {
        const now = places();
        same = now === last ? same + 1 : 0;
        last = now;
        return same === 4;
    });
}""")
WIDGET = """([name, value]) => {
    const widget = app.graph.getNodeById(window.schedule).widgets.find(w => w.name === name);
    if (value !== null) widget.value = value;
    return String(widget.value);
}"""
EMIT = """([name, detail]) => {
    const {api} = app;
    api.dispatchEvent(new CustomEvent(name, {detail: {node: String(window.sampler), ...detail}}));
}"""
# a picture for a chunk: one black pixel
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
    def length(self) -> int:
        """Of the sampler, in video frames."""
        return self.page.evaluate(
            "() => app.graph.getNodeById(window.sampler).widgets.find(w => w.name === 'length').value"
        )

    def setting(self, name: str, value: object) -> None:
        """Change a widget of the sampler as a user would."""
        self.page.evaluate(
            """([name, value]) => {
                const widget = app.graph.getNodeById(window.sampler).widgets.find(w => w.name === name);
                widget.value = value;
                widget.callback?.(value);
                app.api.dispatchEvent(new CustomEvent("graphChanged"));
            }""",
            [name, value],
        )

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


def near(*seconds: float):
    return [pytest.approx(second, abs=0.2) for second in seconds]


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
