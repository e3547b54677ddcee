"""A run under way: its hooks, its registry, and who is informed of a chunk."""

from __future__ import annotations

import pytest


def test_hooks_are_called_while_they_are_set_and_never_after(tiny):
    hooks, calls = tiny.nodes.run.session.RunHooks(), []
    hooks.look()
    hooks.settle()
    with (
        pytest.raises(KeyError),
        hooks.set(look=lambda: calls.append("look"), settle=lambda: calls.append("settle")),
    ):
        hooks.look()
        hooks.settle()
        raise KeyError
    hooks.look()
    hooks.settle()
    assert calls == ["look", "settle"]


def test_a_run_is_listed_until_it_ends_however_it_ends(tiny):
    live, page = tiny.nodes.run.live, tiny.nodes.host.Page()
    page.prompt_id, page.node_id = "prompt", "3"
    runs, control = live.LiveRuns(), live.LiveControl()
    grid = tiny.nodes.run.request.ChunkGrid(3, 16.0)
    events = tiny.nodes.run.events.RunEvents(page, tiny.nodes.run.events.MemoryLog(grid), "prompt", 0)
    with pytest.raises(KeyError), runs.listed(control, events):
        assert runs.find("prompt", "3") is control and runs.find("prompt", "4") is None
        (now,) = runs.now()
        assert (now["prompt_id"], now["node"], now["state"]) == ("prompt", "3", control.state())
        raise KeyError
    assert runs.find("prompt", "3") is None and control.state()["ended"] and runs.now() == []


def test_one_call_informs_progress_bar_preview_and_page(tiny, monkeypatch):
    calls, host = [], tiny.nodes.host
    monkeypatch.setattr(host.Progress, "after_chunk", lambda self, chunk: calls.append(("progress", chunk.index)))
    monkeypatch.setattr(host.Progress, "picture", lambda self, latents: calls.append(("preview", latents.shape[2])))
    monkeypatch.setattr(host.Page, "send", lambda self, event, data: calls.append((event, data.get("chunk"))))
    sizes = {"width": 32, "height": 32, "length": 21, "fps": 16.0, "steps": "1000", "shift": 5.0}
    request = tiny.nodes.run.Request(tiny.model, tiny.schedule("0s: a robot walks in the meadow"), seed=0, **sizes)
    with tiny.nodes.run.open_run(request, tiny.nodes.run.prepare(request)) as run:
        for chunk in run:
            calls.clear()
            run.announce(chunk)
            assert calls == [("progress", chunk.index), ("preview", 3), ("memflow.chunk", chunk.index)]
        assert sum(latents.shape[2] for latents in run.recent_latents()) == 6
        assert run.forwards == {"denoise": 2, "context": 2}
