"""Tasks of a user, done by mouse and keyboard, with their clicks and seconds counted.

    .venv/bin/python -m tests.browser.clicks

does them with the template tiny_story as it is, and prints both: the numbers in docs/page.md. The story is kept between
runs, as it is by default.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools import front_end
from tools.comfy_host import ROOT
from tools.comfy_server import Server
from tools.command_line import comfyui_folder, no_arguments

TEMPLATE = ROOT / "workflows" / "tiny_story.json"
ENDED_WITHIN_MS = 300_000
OPEN = """async graph => {
    await app.loadGraphData(graph);
    await app.extensionManager.command.execute("Comfy.Canvas.FitView");
}"""
LISTEN = """() => {
    Object.assign(window, {made: [], ended: 0});
    app.api.addEventListener("memflow.chunk", ({detail}) => { if (!detail.kept) window.made.push(detail.chunk); });
    app.api.addEventListener("execution_success", () => window.ended++);
}"""
PROMPTS = """() => app.graph.nodes.find(n => n.comfyClass === "MemFlowPromptSchedule")
    .widgets.find(w => w.name === "prompts").value"""
FIELD = "() => [...document.querySelectorAll('textarea')].findIndex(field => field.value.startsWith('0s:'))"


class Hand:
    """A mouse that counts its clicks. Looking for something, by scrolling too, is no click, and neither is a key."""

    def __init__(self, page: Any) -> None:
        self.page, self.clicks = page, 0

    def click(self, locator: Any) -> None:
        locator.scroll_into_view_if_needed()
        box = locator.bounding_box()
        self.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.clicks += 1

    def run(self) -> list[int]:
        """Press Run, and wait for the end; returns the chunks that were made."""
        self.page.evaluate("() => Object.assign(window, {made: [], ended: 0})")
        self.click(self.page.locator("[data-testid=queue-button]"))
        self.page.wait_for_function("() => window.ended > 0", timeout=ENDED_WITHIN_MS)
        return self.page.evaluate("() => window.made")


def open_story(page: Any, graph: dict[str, Any]) -> None:
    page.evaluate(LISTEN)
    page.evaluate(OPEN, graph)
    page.locator(".mft-block").first.wait_for()


def render(hand: Hand) -> list[int]:
    """From an open template to the film."""
    return hand.run()


def change_a_prompt(hand: Hand) -> list[int]:
    """The last prompt, in the text."""
    hand.click(hand.page.locator("textarea").nth(hand.page.evaluate(FIELD)))
    for key in ("Control+End", "Control+Shift+ArrowLeft"):
        hand.page.keyboard.press(key)
    hand.page.keyboard.type("city")
    return hand.run()


def pin_the_hero(hand: Hand) -> list[int]:
    """Give a remembered moment a name, and let a prompt ask for it."""
    page = hand.page
    menu = page.locator(".memflow-menu")
    hand.click(page.locator(".mm-now .mm-moment").first)
    hand.click(menu.get_by_text("Pin it with a name…"))
    page.locator(".p-dialog input[type=text], [role=dialog] input").wait_for()
    page.keyboard.type("hero")
    page.keyboard.press("Enter")
    page.wait_for_function(f"() => ({PROMPTS})().includes('pin hero: ')")
    page.locator(".memflow-menu-title").wait_for()
    hand.click(menu.locator("button").first)
    return hand.run()


def go_on_tomorrow(hand: Hand) -> list[int]:
    """A prompt more, in a page that was opened anew, of a server that was started anew."""
    page = hand.page
    hand.click(page.get_by_role("button", name="Add a prompt at the end"))
    page.locator(".mft-editor").wait_for()
    page.keyboard.type("a cat walks across the city")
    page.keyboard.press("Enter")
    return hand.run()


def reopen(page: Any) -> None:
    """Load the page again, which restores its workflow."""
    page.reload(wait_until="domcontentloaded")
    page.wait_for_function(front_end.READY, timeout=120_000)
    # a run that is queued before is not told of
    page.wait_for_function("() => app.api.socket?.readyState === WebSocket.OPEN && app.api.clientId")
    page.evaluate(LISTEN)
    page.locator(".mft-block").first.wait_for()


def counted(page: Any, task: Callable[[Hand], list[int]]) -> tuple[int, float, list[int]]:
    """Clicks, seconds and chunks that were made."""
    hand, began = Hand(page), time.perf_counter()
    made = task(hand)
    return hand.clicks, time.perf_counter() - began, made


def main() -> None:
    no_arguments(__doc__)
    # which the server of tests and tools turns off
    os.environ.setdefault("MEMFLOW_KEEP_GB", "4")
    with tempfile.TemporaryDirectory() as base, Server(comfyui_folder(), Path(base)) as server:
        profile = Path(tempfile.mkdtemp(dir=base))
        with front_end.chromium(server, profile) as context:
            page = front_end.open_page(context, server)
            open_story(page, json.loads(TEMPLATE.read_text()))
            for task in (render, change_a_prompt, pin_the_hero, go_on_tomorrow):
                if task is go_on_tomorrow:
                    server.restart()
                    reopen(page)
                clicks, seconds, made = counted(page, task)
                print(f"{task.__name__}: {clicks} clicks, {seconds:.0f} s, {len(made)} chunks made")


if __name__ == "__main__":
    main()
