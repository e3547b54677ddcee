"""Run a program that must not outlive its starter: it ends when its standard input is closed, however that came about.

    python launch.py MAIN.py [ARGUMENT ...]

A ComfyUI whose worker was killed would keep the GPU's memory for ever.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def _end_with_starter() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_starter, daemon=True).start()
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
