"""The pack's HTTP routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web
from server import PromptServer

Answer = tuple[int, dict[str, Any]]
"""HTTP status, and JSON."""
PART_BYTES = 65536


def add_json_routes(path: str, read: Callable[..., Answer], write: Callable[..., Answer], most_bytes: int) -> None:
    """Serve GET and POST at a path. Its {names} are arguments of both functions; `write` gets the body's JSON behind
    them. A body of more than `most_bytes`, or that is no JSON, is refused here."""

    async def on_get(request: web.Request) -> web.Response:
        return _json(*read(**request.match_info))

    async def on_post(request: web.Request) -> web.Response:
        body = await _body(request, most_bytes)
        if body is None:
            return _too_large(most_bytes)
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            return _json(400, {"error": "the body is no JSON."})
        return _json(*write(**request.match_info, body=content))

    PromptServer.instance.routes.get(path)(on_get)
    PromptServer.instance.routes.post(path)(on_post)


def add_post_route(path: str, answer: Callable[[bytes], Answer], most_bytes: int) -> None:
    """Let the server answer POSTs to `path`: `answer` makes status and JSON of a body of at most `most_bytes`.

    It runs in a thread of its own, so that the server goes on.
    """

    async def on_post(request: web.Request) -> web.Response:
        body = await _body(request, most_bytes)
        return _too_large(most_bytes) if body is None else _json(*await asyncio.to_thread(answer, body))

    PromptServer.instance.routes.post(path)(on_post)


def add_get_route(path: str, content: dict[str, Any]) -> None:
    """Let the server answer GETs to `path` with JSON that stays the same."""

    async def on_get(request: web.Request) -> web.Response:
        return _json(200, content)

    PromptServer.instance.routes.get(path)(on_get)


async def _body(request: web.Request, most_bytes: int) -> bytes | None:
    """None as soon as there are more than `most_bytes`."""
    body = bytearray()
    async for part in request.content.iter_chunked(PART_BYTES):
        body += part
        if len(body) > most_bytes:
            return None
    return bytes(body)


def _too_large(most_bytes: int) -> web.Response:
    return _json(413, {"error": f"the body is larger than {most_bytes} bytes."})


def _json(status: int, content: dict[str, Any]) -> web.Response:
    return web.json_response(content, status=status)
