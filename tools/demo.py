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

from .comfy_host import ROOT, Layout, SetupError, comfyui_version
from .comfy_server import Server, ServerError, failure, output_files, require_free_port


class Progress:
    """Shows the running node's steps: one updating line on a terminal, else a line each tenth of the way."""

    def __init__(self, prompt: dict[str, Any]) -> None:
        self.names = {id: node["class_type"] for id, node in prompt.items()}
        self.shown: tuple[str, int] | None = None
        self.terminal = sys.stderr.isatty()

    def __call__(self, event: dict[str, Any]) -> None:
        if event["type"] != "progress_state":
            return
        for id, node in event["data"]["nodes"].items():
            if node["state"] == "running" and node["max"] > 1:
                self.show(self.names.get(id.split(":")[0], id), int(node["value"]), int(node["max"]))

    def show(self, name: str, value: int, total: int) -> None:
        mark = (name, value if self.terminal else value * 10 // total)
        if mark == self.shown:
            return
        self.shown = mark
        start, end = ("\r\x1b[K", "") if self.terminal else ("", "\n")
        print(f"{start}{name}: step {value} of {total}", end=end, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self.terminal and self.shown:
            print(file=sys.stderr)


def demo(workflow_file: Path, port: int) -> list[Path]:
    """Run the workflow on a server of its own; return the mp4 files. ServerError, SetupError: why there is none."""
    require_free_port(port)
    at = Layout(ROOT)
    comfyui = Path(os.environ.get("COMFYUI_PATH") or at.comfyui).resolve()
    version = comfyui_version(comfyui)
    workflow = json.loads(workflow_file.read_text())
    say(f"starting ComfyUI {version} on port {port}")
    with Server(comfyui, at.base, port) as server:
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


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
