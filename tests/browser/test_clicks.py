"""How many clicks a task takes: docs/page.md has the table."""

from __future__ import annotations

import json
import re

from tests.browser import clicks
from tools.comfy_host import ROOT

# of 7 chunks and of 9: two prompts, and a third one that is added
STORY = "0s: a robot walks across the meadow\n3s: the robot waves in the meadow"
VALUES = {"prompts": STORY, "length": 81, "steps": "1000", "keep_moments_gb": 1.0}
SHORTEN = """values => {
    for (const node of app.graph.nodes) {
        for (const widget of node.widgets ?? []) if (widget.name in values) widget.value = values[widget.name];
    }
}"""


def documented(task: str) -> int:
    """The clicks that the page's table has for a task."""
    (row,) = [line for line in (ROOT / "docs" / "page.md").read_text().splitlines() if line.startswith(f"| {task} ")]
    return int(re.search(r"\d+", row.split("|")[2])[0])


def test_tasks_take_the_clicks_that_the_table_says(comfy, page):
    clicks.open_story(page, json.loads(clicks.TEMPLATE.read_text()))
    page.evaluate(SHORTEN, VALUES)
    assert clicks.counted(page, clicks.render)[2] == [*range(7)]

    taken, _, made = clicks.counted(page, clicks.change_a_prompt)
    assert taken == documented("change one prompt, render again")
    assert page.evaluate(clicks.PROMPTS).endswith("the robot waves in the city")
    # what comes before is not rendered again
    assert made and made[0] > 0 and made[-1] == 6

    taken, _, made = clicks.counted(page, clicks.pin_the_hero)
    assert taken == documented("let a character be remembered by name, and a prompt ask for it")
    assert re.search(r"^pin hero: .*\n(.*\n)*.*\[hero\]", page.evaluate(clicks.PROMPTS), re.MULTILINE)

    before = page.evaluate(clicks.PROMPTS)
    comfy.restart()
    clicks.reopen(page)
    assert page.evaluate(clicks.PROMPTS) == before
    taken, _, made = clicks.counted(page, clicks.go_on_tomorrow)
    assert taken == documented("go on tomorrow: another prompt at the end")
    assert page.evaluate(clicks.PROMPTS).endswith("a cat walks across the city")
    assert made[0] > 0
