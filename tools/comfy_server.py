"""A headless ComfyUI on loopback: start it, run workflows on it, stop it."""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from memflow_core.render import end_process, free_port

from .comfy_host import PACK_NAME, make_base

LOOPBACK = "127.0.0.1"
READY_WITHIN_S = 300
REQUEST_TIMEOUT_S = 120
PACK_NOT_LOADED = r"Cannot import .* module for custom nodes: (.*)"
BINARY_PREVIEW, BINARY_TEXT, BINARY_PREVIEW_WITH_METADATA = 1, 3, 4

CONVERT = """
import json, sys
from comfy_cli.workflow_to_api import convert_ui_to_api
print(json.dumps(convert_ui_to_api(*json.load(sys.stdin))))
"""

# loopback never goes through a proxy, whatever the environment's proxy variables say
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerError(RuntimeError):
    """One sentence: what the server could not do, and why."""


class RequestError(ServerError):
    """An HTTP answer other than 2xx. `status` is its code, `body` its JSON, or its text if it is none."""

    def __init__(self, what: str, status: int, body: Any) -> None:
        super().__init__(f"{what} was answered with {status}: {_request_problem(body)}")
        self.status = status
        self.body = body


class Run(NamedTuple):
    """What one queued prompt left: its history entry, all messages in order, the preview pictures.

    A text that a node showed with send_progress_text is among the messages as "progress_text": node, text.
    """

    history: dict[str, Any]
    events: list[dict[str, Any]]
    previews: list[bytes]


class Server:
    """One ComfyUI process with a base directory of its own, which has this pack in its custom_nodes.

    `port` 0 takes a free one. `options` are more ComfyUI command-line options. It is run by this Python.
    """

    def __init__(self, comfyui: Path, base: Path, port: int = 0, options: tuple[str, ...] = ()) -> None:
        self.comfyui = comfyui
        self.base = base
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.options = options
        self.log = base / "server.log"
        self.models_dir = base / "models"
        self.input_dir = base / "input"
        self.output_dir = base / "output"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and wait until it answers. ServerError: it ended early, or has not loaded the pack."""
        require_free_port(self.port)
        make_base(self.base)
        command = [
            sys.executable, "main.py", *device_options(),
            "--listen", LOOPBACK, "--port", str(self.port), "--base-directory", str(self.base),
            "--database-url", "sqlite:///:memory:", "--disable-api-nodes", "--disable-auto-launch",
            "--disable-all-custom-nodes", "--whitelist-custom-nodes", PACK_NAME, *self.options,
        ]  # fmt: skip
        # the ComfyUI folder may be a user's own: leave no bytecode in it
        env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        # each run of a workflow stands for itself, unless the caller's environment says otherwise
        env.setdefault("MEMFLOW_KEEP_GB", "0")
        with open(self.log, "wb") as log:
            # a session of its own, so that Ctrl-C reaches it only through stop()
            self._process = subprocess.Popen(
                command, cwd=self.comfyui, env=env, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        if self._process is not None:
            end_process(self._process, within_s=20)
        self._process = None

    def end_by(self, signal: int, within_s: float = 60) -> int:
        """Send the process a signal, and return its exit code. Raises subprocess.TimeoutExpired if it goes on."""
        assert self._process is not None
        self._process.send_signal(signal)
        code = self._process.wait(within_s)
        self._process = None
        return code

    def restart(self) -> None:
        """A new process on the same base directory and port."""
        self.stop()
        self.start()

    def get(self, path: str) -> Any:
        """The JSON at `path`."""
        return json.loads(self._request(path))

    def post(self, path: str, body: Any) -> Any:
        """Post `body` as JSON; the answer's JSON, or None where it is empty."""
        answer = self._request(path, json.dumps(body).encode())
        return json.loads(answer) if answer else None

    def view(self, file: dict[str, str]) -> bytes:
        """The bytes of a file as outputs name it: filename, subfolder, type."""
        return self._request("/view?" + urllib.parse.urlencode(file))

    def path_of(self, file: dict[str, str]) -> Path:
        """Where a file that outputs name lies on disk."""
        return self.base / file["type"] / file["subfolder"] / file["filename"]

    def convert(self, workflow: dict[str, Any]) -> dict[str, Any]:
        """A workflow as the front end saves it, in the form that the server runs. ServerError: it is none."""
        # comfy-cli makes folders in the home directory when it is imported, which may not be writable
        env = {**os.environ, "HOME": str(self.base / "home")}
        given = json.dumps([workflow, self.get("/object_info")])
        done = subprocess.run(
            [sys.executable, "-c", CONVERT], env=env, input=given, capture_output=True, text=True, check=False
        )
        if done.returncode:
            problem = done.stderr.strip().splitlines()[-1].partition(": ")
            raise ServerError(f"the workflow cannot be converted: {problem[2] or problem[0]}")
        return json.loads(done.stdout)

    def interrupt(self, prompt_id: str | None = None) -> None:
        """Cancel the running prompt, or `prompt_id` alone."""
        self.post("/interrupt", {"prompt_id": prompt_id} if prompt_id else {})

    def run(
        self,
        prompt: dict[str, Any],
        on_event: Callable[[dict[str, Any]], None] | None = None,
        workflow: dict[str, Any] | None = None,
        timeout_s: float = 600,
    ) -> Run:
        """Queue `prompt` (API form) and wait for its end; a failed one is returned too: `render.failure`.

        `on_event` gets each message as it comes. `workflow` (the front end's form) is stored in the outputs.
        RequestError: the prompt is not valid. ServerError: the server ended, or said nothing for `timeout_s`.
        """
        import websocket

        client = uuid.uuid4().hex
        extra = {"extra_pnginfo": {"workflow": workflow}} if workflow else {}
        # connected here, since websocket-client would send it through the environment's proxy
        direct = socket.create_connection((LOOPBACK, self.port), timeout_s)
        link = websocket.create_connection(f"ws{self.url[4:]}/ws?clientId={client}", timeout_s, socket=direct)
        try:
            # has to be the first message, or previews come without their node
            link.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
            body = {"prompt": prompt, "client_id": client, "extra_data": extra}
            prompt_id = self.post("/prompt", body)["prompt_id"]
            events, previews = _listen(link, prompt_id, on_event)
        except websocket.WebSocketTimeoutException:
            raise ServerError(f"ComfyUI said nothing for {timeout_s:g} s; log: {self.log}") from None
        except (websocket.WebSocketException, ConnectionError):
            raise ServerError(f"ComfyUI ended while it ran the workflow: {self._last_words()}") from None
        finally:
            link.close()
        # the server writes the history only before the message that ends the listening
        return Run(self.get(f"/history/{prompt_id}")[prompt_id], events, previews)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerError(f"ComfyUI ended while starting: {self._last_words()}")
            try:
                self._request("/system_stats", timeout_s=5)
            except OSError:
                time.sleep(0.2)
                continue
            if broken := re.search(PACK_NOT_LOADED, self.log.read_text(errors="replace")):
                raise ServerError(f"ComfyUI could not load this pack: {broken.group(1)}; log: {self.log}")
            return
        raise ServerError(f"ComfyUI did not answer within {READY_WITHIN_S} s; log: {self.log}")

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return f"{lines[-1] if lines else 'it printed nothing'}; log: {self.log}"

    def _request(self, path: str, body: bytes | None = None, timeout_s: float = REQUEST_TIMEOUT_S) -> bytes:
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        try:
            with _DIRECT.open(request, timeout=timeout_s) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            raise RequestError(path.partition("?")[0], error.code, _json_or_text(text)) from None


def output_files(history: dict[str, Any], suffix: str) -> list[dict[str, str]]:
    """The files among a run's outputs whose name ends in `suffix`."""
    lists = [value for output in history["outputs"].values() for value in output.values()]
    files = [item for items in lists for item in items if isinstance(item, dict) and "filename" in item]
    return [file for file in files if file["filename"].endswith(suffix)]


def require_free_port(port: int) -> None:
    """ServerError if something on this machine listens at `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "not between 1 and 65535"
            raise ServerError(f"port {port} cannot be used ({reason}): name another one with PORT=...") from None


def device_options() -> list[str]:
    """Return ComfyUI's command-line options for this machine: `--cpu` where torch finds no accelerator."""
    import torch

    return [] if torch.accelerator.is_available() else ["--cpu"]


def _listen(
    link: Any, prompt_id: str, on_event: Callable[[dict[str, Any]], None] | None
) -> tuple[list[dict[str, Any]], list[bytes]]:
    events: list[dict[str, Any]] = []
    previews: list[bytes] = []
    while True:
        message = link.recv()
        if isinstance(message, bytes):
            kind, n = struct.unpack(">II", message[:8])
            if kind == BINARY_PREVIEW:
                previews.append(message[8:])
            elif kind == BINARY_PREVIEW_WITH_METADATA:
                previews.append(message[8 + n :])
            if kind != BINARY_TEXT:
                continue
            data = {"node": message[8 : 8 + n].decode(), "text": message[8 + n :].decode()}
            event = {"type": "progress_text", "data": data}
        else:
            event = json.loads(message)
        events.append(event)
        if on_event:
            on_event(event)
        data = event["data"]
        if event["type"] == "executing" and data["node"] is None and data.get("prompt_id") == prompt_id:
            return events, previews


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _request_problem(body: Any) -> str:
    """An error answer in one line: the first node's error of a refused prompt, else the error or text."""
    if not isinstance(body, dict):
        return str(body).strip()[:300]
    for node_id, node in (body.get("node_errors") or {}).items():
        first = node["errors"][0]
        return f"{node['class_type']} (node {node_id}): {first['message']}: {first['details']}"
    error = body.get("error", body)
    return error.get("message", str(error)) if isinstance(error, dict) else str(error)
