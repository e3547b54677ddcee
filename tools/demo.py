"""Run a workflow file in a headless ComfyUI and print where the finished mp4 is.

    .venv/bin/python -m tools.demo [WORKFLOW.json]

The default is workflows/tiny_story.json. PORT names the port (8189), COMFYUI_PATH another ComfyUI.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from memflow_core.render import failure

from .comfy_host import ROOT, Layout, SetupError, comfyui_version
from .comfy_server import Server, ServerError, output_files, require_free_port
from .command_line import comfyui_folder


class Progress:
    """Event handler that prints the progress of the running node: one line that is updated, or a line each tenth.

    The one line is for terminals.
    """

    def __init__(self, prompt: dict[str, Any]) -> None:
        self.names = {id: node["class_type"] for id, node in prompt.items()}
        self.texts: dict[str, str] = {}
        self.shown: object = None
        self.terminal = sys.stderr.isatty()

    def __call__(self, event: dict[str, Any]) -> None:
        data = event["data"]
        if event["type"] == "progress_text":
            self.texts[data["node"]] = f" {data['text']},"
        if event["type"] != "progress_state":
            return
        for node in data["nodes"].values():
            if node["state"] == "running" and node["max"] > 1:
                self.show(node["real_node_id"], int(node["value"]), int(node["max"]))

    def show(self, node_id: str, value: int, total: int) -> None:
        text = self.texts.get(node_id, "")
        line = f"{self.names.get(node_id, node_id)}:{text} step {value} of {total}"
        mark = line if self.terminal else (node_id, text, value * 10 // total)
        if mark == self.shown:
            return
        self.shown = mark
        start, end = ("\r\x1b[K", "") if self.terminal else ("", "\n")
        print(f"{start}{line}", end=end, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.terminal and self.shown:
            print(file=sys.stderr)


def demo(workflow_file: Path, port: int) -> list[Path]:
    """Run a workflow on a new server. Returns its mp4 files. Raises ServerError or SetupError with the reason."""
    require_free_port(port)
    comfyui = comfyui_folder()
    workflow = read_workflow(workflow_file)
    say(f"starting ComfyUI {comfyui_version(comfyui)} on port {port}")
    with Server(comfyui, Layout(ROOT).base, port) as server:
        prompt = server.convert(workflow)
        say(f"running {workflow_file}")
        progress = Progress(prompt)
        begin = time.monotonic()
        try:
            history = server.run(prompt, progress, workflow).history
        finally:
            progress.close()
        if problem := failure(history):
            raise ServerError(f"the workflow failed at {problem}")
        say(f"done in {time.monotonic() - begin:.1f} s")
        files = [server.path_of(file) for file in output_files(history, ".mp4")]
    if not files:
        raise ServerError(f"{workflow_file} ran, but none of its outputs is an mp4 file.")
    return files


def read_workflow(file: Path) -> dict[str, Any]:
    """Read a workflow file. Raises ServerError if it holds no JSON."""
    try:
        return json.loads(file.read_text())
    except ValueError as error:
        raise ServerError(f"{file} is not a workflow file: {error}") from None


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("workflow", nargs="?", type=Path, default=ROOT / "workflows" / "tiny_story.json")
    args = parser.parse_args()
    port = os.environ.get("PORT") or "8189"
    # a plain kill has to stop the server too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if not port.isdecimal():
        sys.exit(f"PORT is {port!r}: it has to be a number, as in `make demo PORT=8190`.")
    try:
        files = demo(args.workflow, int(port))
    except (ServerError, SetupError, OSError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped")
    for file in files:
        print(file)


if __name__ == "__main__":
    main()
