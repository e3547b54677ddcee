"""Runs that a page only looks at, by what the server answers: those under way, those that end, and late answers."""

from __future__ import annotations

import re

import pytest

from tests.browser.test_both_front_ends import VUE
from tests.browser.test_memory_view import CHUNK, Story

UNDER_WAY = {
    "chunk": 1, "chunks": 13, "time_s": 0.75, "paused": False, "holding": False, "finishing": False, "ended": False,
    "takes_prompts": True, "switches": ["recache"], "prompts": [],
}  # fmt: skip
ENDED = {**UNDER_WAY, "ended": True}
MEMORY = {"first_s": 0, "chunks": [CHUNK, {**CHUNK, "chunk": 1}], "thumbnails": {}}
OPEN = "async workflow => { await app.loadGraphData(workflow); }"
LIVE = "() => document.querySelector('.mm-live:not(.mm-idle)')"
IDLE = "() => document.querySelector('.mm-live.mm-idle')"
ROWS = "rows => document.querySelectorAll('.mm-row').length === rows"


class Looked:
    """A page with a graph, to which a stand-in for the server tells of one run of it.

    `answers` has the JSON of each path; a request to a path that is not in it waits in `waiting`.
    """

    def __init__(self, page) -> None:
        self.page = page
        self.view = Story(page)
        self.view.build()
        # a graph that was never loaded has no id of its own
        page.evaluate("() => { app.graph.id = crypto.randomUUID(); }")
        self.workflow = page.evaluate("() => app.graph.serialize()")
        node = page.evaluate("() => String(window.ids.stream)")
        self.about = {"prompt_id": "one", "node": node, "workflow": self.workflow["id"]}
        self.run = {**self.about, "chunks": 13, "memory": {**MEMORY, "chunks": [CHUNK]}, "state": UNDER_WAY}
        self.answers: dict[str, object] = {}
        self.waiting = []
        page.route(re.compile(r"/memflow/(live/|runs)|/queue$|/history"), self._answer)

    def _answer(self, route) -> None:
        path = route.request.url.partition("/api")[2].partition("?")[0]
        if path in self.answers:
            route.fulfill(json=self.answers[path])
        else:
            self.waiting.append(route)

    def emit(self, name: str, **detail) -> None:
        self.view.emit(name, **{**self.about, **detail})

    def wait(self, condition: str, arg: object = None) -> None:
        self.page.wait_for_function(condition, arg=arg, timeout=30_000)

    def asked(self, path: str):
        """The request to a path that waits for its answer."""
        for _ in range(100):
            if found := [route for route in self.waiting if path in route.request.url]:
                (route,) = found
                self.waiting.remove(route)
                return route
            self.page.wait_for_timeout(100)
        pytest.fail(f"the page has not asked for {path}")


@pytest.fixture(params=["LiteGraph", "Vue nodes"])
def looked(page, request):
    page.evaluate(VUE, request.param == "Vue nodes")
    yield Looked(page)
    page.evaluate(VUE, False)


def test_an_answer_that_comes_after_the_end_of_a_run_does_not_bring_it_back(looked):
    page = looked.page
    looked.answers = {"/queue": {"queue_running": []}, "/history": {}, "/history/one": {}}
    asks = {
        # the page hears a chunk of a run that began before it was there, and asks for its state
        "/memflow/live/": lambda: looked.emit("memflow.chunk", **CHUNK),
        # a page that opens a graph asks what runs in it
        "/memflow/runs": lambda: page.evaluate(OPEN, looked.workflow),
    }
    for path, ask in asks.items():
        ask()
        route = looked.asked(path)
        looked.emit("memflow.live", **ENDED)
        with page.expect_response(route.request.url):
            route.fulfill(json={"state": UNDER_WAY, "runs": [looked.run]})
        page.wait_for_timeout(300)
        assert looked.view.live.count() == 0


def test_a_run_is_live_again_when_its_user_comes_back_to_the_workflow(looked):
    looked.answers = {"/memflow/runs": {"runs": [looked.run]}, "/queue": {"queue_running": []}, "/history": {}}
    looked.page.evaluate(OPEN, looked.workflow)
    looked.wait(LIVE)
    other = {**looked.workflow, "id": "0a0a0a0a-0000-4000-8000-000000000000"}
    looked.page.evaluate(OPEN, other)
    looked.wait(IDLE)
    # until the page has looked there too
    looked.page.wait_for_timeout(2000)
    looked.page.evaluate(OPEN, looked.workflow)
    looked.wait(LIVE)


def test_of_two_samplers_of_a_prompt_the_first_ends_when_it_does(looked):
    looked.answers = {"/queue": {"queue_running": [[0, "one", {}, {}, []]]}, "/history": {}, "/history/one": {}}
    looked.answers["/memflow/runs"] = {"runs": [looked.run]}
    looked.page.evaluate(OPEN, looked.workflow)
    looked.wait(LIVE)
    # it goes on in another sampler, which the graph on show has as well
    second = looked.page.evaluate(
        "() => { const n = LiteGraph.createNode('MemFlowSampler'); app.graph.add(n); return n.id; }"
    )
    looked.answers["/memflow/runs"] = {"runs": [{**looked.run, "node": str(second)}]}
    looked.wait("() => document.querySelectorAll('.mm-live.mm-idle').length === 1")
    looked.wait(LIVE)
    first = """() => app.graph.getNodeById(window.ids.stream).widgets.find(w => w.name === "memflow_memory")
        .element.querySelector(".mm-live.mm-idle")"""
    looked.wait(first)


def test_the_result_of_a_run_is_shown_though_other_nodes_come_after_it(looked):
    queue = {"queue_running": [[0, "one", {}, {}, []]]}
    looked.answers = {"/memflow/runs": {"runs": [looked.run]}, "/queue": queue, "/history": {}, "/history/one": {}}
    looked.page.evaluate(OPEN, looked.workflow)
    looked.wait(LIVE)
    looked.wait(ROWS, 1)
    looked.answers["/memflow/runs"] = {"runs": []}
    looked.wait(IDLE)
    looked.wait(ROWS, 1)
    outputs = {looked.about["node"]: {"memflow": [MEMORY]}}
    looked.answers |= {"/queue": {"queue_running": []}, "/history/one": {"one": {"outputs": outputs}}}
    looked.wait(ROWS, 2)
