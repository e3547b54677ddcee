"""A headless ComfyUI on loopback: start it, run graphs on it, stop it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp  # ComfyUI brings it

from .convert import Graph
from .errors import JobError, RefusedError

LOOPBACK = "127.0.0.1"
LAUNCH = Path(__file__).with_name("launch.py")
PACK = Path(__file__).resolve().parents[2]
REQUEST_S = 60
SILENT_S = 3600  # longest time without a message of a run
PACK_NOT_LOADED = re.compile(r"Cannot import .*memflow.* module for custom nodes: (.*)", re.IGNORECASE)
_BINARY_TEXT = 3
# loopback never goes through a proxy, whatever the environment's proxy variables say
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Installation:
    """The ComfyUI to run.

    comfyui  its folder, with main.py.
    base     another base directory (models, input, custom nodes); None: that of ComfyUI.
    options  more command-line options for it.
    python   the Python that runs it.
    """

    comfyui: str
    base: str | None = None
    options: tuple[str, ...] = ()
    python: str = sys.executable


def find_installation(comfyui: str | None, base: str | None, options: Sequence[str] = ()) -> Installation:
    """The ComfyUI that this pack belongs to, unless one is named. Raises JobError if there is none.

    comfyui  a folder; None: COMFYUI_PATH, else the one in whose custom_nodes this pack lies, else a checkout's own.
    """
    own = PACK.parent.parent
    named = comfyui or os.environ.get("COMFYUI_PATH")
    places = [Path(named)] if named else [own, PACK / ".host" / "ComfyUI"]
    for place in places:
        if (place / "main.py").is_file() and (place / "comfy").is_dir():
            host = PACK / ".host" / "base"
            if base is None and place.resolve() != own.resolve() and host.is_dir():
                base = str(host)
            return Installation(str(place.resolve()), base and str(Path(base).resolve()), tuple(options))
    raise JobError(f"there is no ComfyUI at {places[0]}: name its folder with --comfyui, or with COMFYUI_PATH.")


class Server:
    """One ComfyUI process, which ends with this one.

    folder  for its output, temp and user files, and its log.
    env     more environment variables.
    """

    def __init__(self, installation: Installation, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.installation = installation
        self.folder = folder
        self.output = folder / "output"
        self.log = folder / "comfyui.log"
        self.port = 0
        self._env = dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    def launch(self) -> None:
        """Start it; `wait` for it."""
        self.port = free_port()
        for name in ("output", "temp", "user"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        # a story's pieces are kept by its journal
        env = {"MEMFLOW_KEEP_GB": "0", **os.environ, **self._env, "PYTHONDONTWRITEBYTECODE": "1"}
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self._command(env), cwd=self.installation.comfyui, env=env, stdin=subprocess.PIPE, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def wait(self, ready_s: float = 600) -> None:
        """Wait until it answers. Raises JobError if it ends early, or has not loaded this pack."""
        assert self._process is not None, "launched before"
        deadline = time.monotonic() + ready_s
        while not self.answers():
            if self._process.poll() is not None:
                raise JobError(f"ComfyUI ended while starting: {self.last_words()}")
            if time.monotonic() > deadline:
                raise JobError(f"ComfyUI did not answer within {ready_s:g} s; its log is {self.log}.")
            time.sleep(0.2)
        if broken := PACK_NOT_LOADED.search(self.log.read_text(errors="replace")):
            raise JobError(f"ComfyUI could not load this pack: {broken[1]}; its log is {self.log}.")

    def _command(self, env: Mapping[str, str]) -> list[str]:
        to = self.installation
        base = ["--base-directory", to.base] if to.base else []
        folders = {"output": self.output, "temp": self.folder / "temp", "user": self.folder / "user"}
        own = [part for name, path in folders.items() for part in (f"--{name}-directory", str(path))]
        return [
            to.python, str(LAUNCH), "main.py", *device_options(to, env), "--listen", LOOPBACK, "--port", str(self.port),
            *base, *own, "--database-url", "sqlite:///:memory:", "--disable-auto-launch", *to.options,
        ]  # fmt: skip

    def stop(self) -> None:
        """End it, at once if it does not end by itself."""
        if self._process is not None:
            end_process(self._process, within_s=10)
        self._process = None

    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def answers(self, timeout_s: float = 5) -> bool:
        """Whether it answers a request in time."""
        try:
            self.request("/prompt", timeout_s=timeout_s)
        except (OSError, ValueError):
            return False
        return True

    def last_words(self) -> str:
        """The last line of its log, and where that is."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return f"{lines[-1][:300] if lines else 'it printed nothing'}; its log is {self.log}."

    def request(self, path: str, body: Any = None, timeout_s: float = REQUEST_S) -> Any:
        """The JSON that a route answers with. Raises RefusedError for an answer other than 2xx, OSError for none."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{LOOPBACK}:{self.port}{path}", data, {"Content-Type": "application/json"}
        )
        try:
            with _DIRECT.open(request, timeout=timeout_s) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RefusedError(_refusal(error.read().decode(errors="replace"))) from None
        return json.loads(text) if text else None

    def run(self, graph: Graph, on_event: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Run a graph to its end; its entry in the history, in which a failure stands too.

        on_event  gets each message as it comes; a node's line of text as {"type": "progress_text", "data": {"text"}}.

        Raises RefusedError if the server does not take the graph, JobError if it ends or falls silent for an hour.
        """
        try:
            prompt_id = asyncio.run(self._follow(graph, on_event))
            return self.request(f"/history/{prompt_id}")[prompt_id]
        except RefusedError:
            raise
        except (TimeoutError, asyncio.TimeoutError):
            raise JobError(f"ComfyUI said nothing for an hour; its log is {self.log}.") from None
        except (OSError, aiohttp.ClientError):
            raise JobError(f"ComfyUI ended while it ran the story: {self.last_words()}") from None

    async def _follow(self, graph: Graph, on_event: Callable[[dict[str, Any]], None]) -> str:
        """Run a graph to its end; its id. Raises as a connection does that breaks off or is silent."""
        client = uuid.uuid4().hex
        url = f"http://{LOOPBACK}:{self.port}/ws?clientId={client}"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as link:
            prompt_id = self.request("/prompt", {"prompt": graph, "client_id": client})["prompt_id"]
            while not _is_end(_tell(await link.receive(SILENT_S), on_event), prompt_id):
                pass
            return prompt_id


def _tell(message: Any, on_event: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The event in a message, told; empty for one that is not told. Raises ConnectionError at the connection's end."""
    event: dict[str, Any] = {}
    if message.type is aiohttp.WSMsgType.BINARY:
        kind, size = struct.unpack(">II", message.data[:8])
        if kind == _BINARY_TEXT:
            event = {"type": "progress_text", "data": {"text": message.data[8 + size :].decode(errors="replace")}}
    elif message.type is aiohttp.WSMsgType.TEXT:
        event = json.loads(message.data)
    else:
        raise ConnectionError("the connection broke off.")
    if event:
        on_event(event)
    return event


def _is_end(event: Mapping[str, Any], prompt_id: str) -> bool:
    data = event.get("data") or {}
    return event.get("type") == "executing" and data.get("node") is None and data.get("prompt_id") == prompt_id


def failure(history: Mapping[str, Any]) -> str | None:
    """Why a run failed, in one sentence; None if it did not."""
    status = history["status"]
    if status["status_str"] == "success":
        return None
    for kind, data in reversed(status["messages"]):
        if kind == "execution_error":
            return f"{data['node_type']} (node {data['node_id']}): {data['exception_message'].strip()}"
        if kind == "execution_interrupted":
            return f"{data['node_type']} (node {data['node_id']}) was cancelled."
    return "the server gives no reason."


def traceback_of(history: Mapping[str, Any]) -> str:
    """The traceback of a failed run, for its log."""
    errors = [data for kind, data in history["status"]["messages"] if kind == "execution_error"]
    return "".join(errors[-1].get("traceback", [])) if errors else ""


def device_options(installation: Installation, env: Mapping[str, str]) -> list[str]:
    """`--cpu` where torch finds no accelerator, and the options do not say it."""
    if "--cpu" in installation.options:
        return []
    # in a process of its own: ComfyUI sets the environment before it imports torch, and this one needs no torch
    ask = "import torch; print(torch.accelerator.is_available())"
    done = subprocess.run([installation.python, "-c", ask], env=dict(env), capture_output=True, text=True, check=False)
    return [] if "True" in done.stdout else ["--cpu"]


def end_process(process: subprocess.Popen[bytes], within_s: float) -> None:
    """End a process, at once if it does not end by itself in time."""
    process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port on loopback that nothing listens at."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def _refusal(text: str) -> str:
    """An error answer in one line: the first node's error of a refused graph, else the error or text."""
    try:
        body = json.loads(text)
    except ValueError:
        return text.strip()[:300]
    if not isinstance(body, dict):
        return text.strip()[:300]
    for id, node in (body.get("node_errors") or {}).items():
        first = node["errors"][0]
        return f"{node['class_type']} (node {id}): {first['message']}: {first['details']}"
    error = body.get("error", body)
    return error.get("message", str(error)) if isinstance(error, dict) else str(error)
