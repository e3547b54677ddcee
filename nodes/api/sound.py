"""POST /memflow/sound: the wave of a sound file, for the timeline.

Body    `{"file": "song.mp3"}`, a file as Load Audio names it: in ComfyUI's input folder, or with ` [output]` or
        ` [temp]` behind it in another.
Answer  `{"step_s": 0.02, "seconds": 12.5, "peaks": [0, 31, 255, ...]}`: how loud each stretch of step_s seconds is,
        from 0 to 255; at most 4000 of them, and one hour. `{"error": "one sentence"}` with status 200 for a file that
        has no sound to show, with 404 where there is no such file; 400, 413 and 415 as for other routes.
"""

from __future__ import annotations

from typing import Any

from ...memflow_core.schedule import show
from ...memflow_core.video import sound_peaks
from .. import host
from .bodies import BadBody, answer_with, read_object

PATH = "/memflow/sound"
MAX_BYTES = 8192
STATUSES = {FileNotFoundError: 404, ValueError: 200}
USAGE = 'the body must be a JSON object like {"file": "song.mp3"}.'


def add_routes() -> None:
    """Serve POST at PATH."""
    host.add_post_route(PATH, answer, most_bytes=MAX_BYTES, in_thread=True, json_only=True)


def answer(body: bytes) -> host.Answer:
    """Status and JSON for a request's body."""
    return answer_with(lambda: _wave(read_object(body, USAGE)), STATUSES)


def _wave(asked: dict[str, Any]) -> dict[str, Any]:
    if asked.keys() != {"file"}:
        raise BadBody(USAGE)
    if not isinstance(asked["file"], str):
        raise BadBody(f"file is {show(asked['file'])}, but must be a file's name.")
    found = sound_peaks(host.media_path(asked["file"]))
    peaks = [round(255 * min(one, 1.0)) for one in found.loudness]
    return {"step_s": found.step_s, "seconds": found.seconds, "peaks": peaks}
