"""Serve HTTP routes on ComfyUI's server: a body of limited size in, status and JSON out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web
from server import PromptServer

from .problems import sentence

Answer = tuple[int, dict[str, Any]]
"""HTTP status, and JSON."""
PART_BYTES = 65536
READ_WITHIN_S = 30
# a page asks for a plan for each of its samplers at once
MOST_WAITING = 64
# threads of the pack's own, so that however much is asked ComfyUI's are left alone
_WORKERS = 2


class _Refused(Exception):
    """An answer other than the handler's: its status and its sentence."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Workers:
    """Threads for handlers that take long; more than so many may not wait for them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="route-of-memflow")
        # on the server's event loop alone
        self._asked = 0

    async def run(self, work: Callable[[], Answer]) -> Answer:
        if self._asked >= MOST_WAITING:
            raise _Refused(429, f"{MOST_WAITING} requests wait for an answer already: ask again in a moment.")
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._asked -= 1


def add_get_route(path: str, handler: Callable[..., Answer]) -> None:
    """Serve GET at a path, on the server's event loop. The path's {names} are keyword arguments of the handler."""

    async def on_get(request: web.Request) -> web.Response:
        async def work() -> Answer:
            return handler(**request.match_info)

        return await _answered(request, work)

    PromptServer.instance.routes.get(path)(on_get)


def add_post_route(
    path: str, handler: Callable[..., Answer], *, most_bytes: int, in_thread: bool, json_only: bool = False
) -> None:
    """Serve POST at a path. The path's {names} are keyword arguments of the handler, as is `body: bytes`.

    most_bytes  a larger body is refused with status 413, and never held as a whole.
    in_thread   whether the handler runs in a thread of its own, for work that would hold up the server's event loop.
    json_only   whether another content type than JSON's is refused with status 415: for routes that change something.
                A page of another site can send plain text without being asked, and JSON only with the server's leave.
    """
    workers = _Workers() if in_thread else None

    async def on_post(request: web.Request) -> web.Response:
        async def work() -> Answer:
            if json_only:
                _check_json_type(request)
            inputs = {**request.match_info, "body": await _read_body(request, most_bytes)}
            return handler(**inputs) if workers is None else await workers.run(lambda: handler(**inputs))

        return await _answered(request, work)

    PromptServer.instance.routes.post(path)(on_post)


async def _answered(request: web.Request, work: Callable[[], Awaitable[Answer]]) -> web.Response:
    """The response to a request, whatever becomes of its handler."""
    try:
        return _json(*await work())
    except _Refused as refused:
        return _json(refused.status, {"error": str(refused)})
    # a mistake of ours: told in a sentence too, with its traceback in the log
    except Exception as error:
        logging.exception("MemFlow: %s %s failed", request.method, request.path)
        return _json(500, {"error": sentence(error)})


def _check_json_type(request: web.Request) -> None:
    kind = request.content_type.lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise _Refused(415, "the content type must be application/json: send it as a header with the request.")


async def _read_body(request: web.Request, most_bytes: int) -> bytes:
    """The body, which is given up as soon as there are more than `most_bytes`, or READ_WITHIN_S is over."""
    try:
        return await asyncio.wait_for(_read_parts(request, most_bytes), READ_WITHIN_S)
    except _Refused:
        raise
    except (TimeoutError, asyncio.TimeoutError):
        raise _Refused(408, f"the body did not come within {READ_WITHIN_S} s: send it again.") from None
    # aiohttp raises many kinds of exceptions for a body that is not what its headers say
    except Exception:
        raise _Refused(400, "the body is not what its headers say: check its length and its encoding.") from None


async def _read_parts(request: web.Request, most_bytes: int) -> bytes:
    body = bytearray()
    async for part in request.content.iter_chunked(PART_BYTES):
        body += part
        if len(body) > most_bytes:
            raise _Refused(413, f"the body is larger than {most_bytes} bytes.")
    return bytes(body)


def _json(status: int, content: dict[str, Any]) -> web.Response:
    return web.json_response(content, status=status)
