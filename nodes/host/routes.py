"""Serve HTTP routes on ComfyUI's server: a body of limited size in, status and JSON out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from server import PromptServer

Answer = tuple[int, dict[str, Any]]
"""HTTP status, and JSON."""
PART_BYTES = 65536


def add_get_route(path: str, handler: Callable[..., Answer]) -> None:
    """Serve GET at a path, on the server's event loop. The path's {names} are keyword arguments of the handler."""

    async def on_get(request: web.Request) -> web.Response:
        return _json(*handler(**request.match_info))

    PromptServer.instance.routes.get(path)(on_get)


def add_post_route(path: str, handler: Callable[..., Answer], *, most_bytes: int, in_thread: bool) -> None:
    """Serve POST at a path. The path's {names} are keyword arguments of the handler, as is `body: bytes`.

    most_bytes  a larger body is refused with status 413, and never held as a whole.
    in_thread   whether the handler runs in a thread of its own, for work that would hold up the server's event loop.
    """

    async def on_post(request: web.Request) -> web.Response:
        body = await _read_body(request, most_bytes)
        if body is None:
            return _json(413, {"error": f"the body is larger than {most_bytes} bytes."})
        inputs = {**request.match_info, "body": body}
        return _json(*(await asyncio.to_thread(handler, **inputs) if in_thread else handler(**inputs)))

    PromptServer.instance.routes.post(path)(on_post)


async def _read_body(request: web.Request, most_bytes: int) -> bytes | None:
    """None as soon as there are more than `most_bytes`."""
    body = bytearray()
    async for part in request.content.iter_chunked(PART_BYTES):
        body += part
        if len(body) > most_bytes:
            return None
    return bytes(body)


def _json(status: int, content: dict[str, Any]) -> web.Response:
    return web.json_response(content, status=status)
