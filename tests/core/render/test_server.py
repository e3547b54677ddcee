"""Messages of a run, as ComfyUI sends them, and what is said when they stop."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from collections.abc import Iterator

import pytest
from aiohttp import web

from memflow_core.render import JobError, server
from memflow_core.render.server import LOOPBACK, Installation, Server

END = {"type": "executing", "data": {"node": None, "prompt_id": "p1"}}
HISTORY = {"status": {"status_str": "success"}, "outputs": {}}


class Comfy:
    """A server on loopback that answers as ComfyUI does. messages: what it sends over a WebSocket, then it closes it.

    holds  whether it keeps the WebSocket open instead.
    """

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.holds = False
        self.asked: list[dict] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> int:
        """Start it; its port."""
        self._thread.start()
        return asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(30)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _serve(self) -> int:
        app = web.Application()
        app.router.add_get("/ws", self._talk)
        app.router.add_post("/prompt", self._prompt)
        app.router.add_get("/history/p1", self._history)
        self._queued = asyncio.Event()
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, 0)
        await site.start()
        return site._server.sockets[0].getsockname()[1]

    async def _prompt(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        self._queued.set()
        return web.json_response({"prompt_id": "p1"})

    async def _history(self, _: web.Request) -> web.Response:
        return web.json_response({"p1": HISTORY})

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        link = web.WebSocketResponse()
        await link.prepare(request)
        await self._queued.wait()
        await link.ping()
        for message in self.messages:
            await (link.send_bytes(message) if isinstance(message, bytes) else link.send_str(message))
        if self.holds:
            await link.receive()
        await link.close()
        return link


@pytest.fixture
def comfy(tmp_path) -> Iterator[tuple[Comfy, Server]]:
    """A fake ComfyUI, and the server object that speaks with it."""
    fake, real = Comfy(), Server(Installation(str(tmp_path)), tmp_path)
    real.log.write_text("last words\n")
    real.port = fake.start()
    yield fake, real
    fake.stop()


def text_of(node: str, words: str) -> bytes:
    return struct.pack(">II", 3, len(node)) + node.encode() + words.encode()


def test_all_messages_are_told_up_to_the_end_of_the_run(comfy):
    fake, real = comfy
    large = {"type": "progress_state", "data": {"nodes": {"5": "x" * 5_000_000}}}
    other = {"type": "executing", "data": {"node": None, "prompt_id": "another"}}
    picture = struct.pack(">II", 1, 2) + b"jpeg"
    fake.messages = [json.dumps(large), json.dumps(other), picture, text_of("5", "chunk 2 of 7"), json.dumps(END), "no"]
    told: list[dict] = []
    assert real.run({"1": {}}, told.append) == HISTORY
    assert told == [large, other, {"type": "progress_text", "data": {"text": "chunk 2 of 7"}}, END]
    assert fake.asked[0]["prompt"] == {"1": {}} and fake.asked[0]["client_id"]


def test_a_connection_that_breaks_off_is_told_with_the_last_words(comfy):
    fake, real = comfy
    fake.messages = [json.dumps({"type": "status", "data": {}})]
    with pytest.raises(JobError, match="ended while it ran the story: last words"):
        real.run({}, lambda event: None)


def test_silence_is_told(comfy, monkeypatch):
    fake, real = comfy
    fake.holds = True
    monkeypatch.setattr(server, "SILENT_S", 0.2)
    with pytest.raises(JobError, match="said nothing"):
        real.run({}, lambda event: None)


def test_a_server_that_is_gone_is_told(tmp_path):
    real = Server(Installation(str(tmp_path)), tmp_path)
    real.log.write_text("")
    real.port = 9
    with pytest.raises(JobError, match="ended while it ran the story: it printed nothing"):
        real.run({}, lambda event: None)
