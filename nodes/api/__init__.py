"""HTTP routes of the pack: read a body, answer in JSON.

Every error is `{"error": "one sentence"}`. Where a route is asked to check something, an error is a valid answer with
status 200.

| route                                    | status | answer                                                      |
| ---------------------------------------- | ------ | ----------------------------------------------------------- |
| GET /memflow/presets                     | 200    | `{"presets": [...]}`                                        |
| POST /memflow/plan                       | 200    | `{"summary", "lines", "said", "plan"}`, or an error: what   |
|                                          |        | is described cannot be run                                  |
|                                          | 400    | error: the body is of another form                          |
|                                          | 413    | error: the body is larger than 12 MB                        |
| POST /memflow/schedule                   | 200    | `{"segments", "global_prompt", "length", "text", "pins"}`,  |
|                                          |        | `pins` only if there are any; or an error: the text is no   |
|                                          |        | schedule                                                    |
|                                          | 400    | error: the body is of another form                          |
|                                          | 413    | error: the body is larger than 12 MB                        |
| GET /memflow/runs                        | 200    | `{"runs": [...]}`: all that are under way                   |
| GET /memflow/live/{prompt_id}/{node_id}  | 200    | `{"state": {...}}`                                          |
|                                          | 404    | error: no such run                                          |
| POST /memflow/live/{prompt_id}/{node_id} | 200    | `{"state": {...}}`, and `number` for a prompt               |
|                                          | 400    | error: no JSON, or not understood                           |
|                                          | 404    | error: no such run                                          |
|                                          | 409    | error: not possible in this run, or no longer               |
|                                          | 413    | error: the body is larger than 64 KiB                       |
|                                          | 415    | error: the content type is not that of JSON                 |
| GET /memflow/moments                     | 200    | `{"moments", "files", "bytes", "budget"}`                   |
| POST /memflow/moments                    | 200    | the same, and `freed`: all that was kept is deleted         |
|                                          | 400    | error: no JSON, or not understood                           |
|                                          | 413    | error: the body is larger than 1 KiB                        |
|                                          | 415    | error: the content type is not that of JSON                 |
| POST /memflow/takes                      | 200    | `{"takes": [...]}`, with `freed` after deleting; a file for  |
|                                          |        | /view; or an error: the graph does not tell                 |
|                                          | 400    | error: the body is of another form                          |
|                                          | 404    | error: no such take                                         |
|                                          | 413    | error: the body is larger than 12 MB                        |
|                                          | 415    | error: the content type is not that of JSON                 |
| POST /memflow/sound                      | 200    | `{"step_s", "seconds", "peaks"}`, or an error: no sound     |
|                                          | 400    | error: the body is of another form                          |
|                                          | 404    | error: no such file                                         |
|                                          | 413    | error: the body is larger than 8 KiB                        |
|                                          | 415    | error: the content type is not that of JSON                 |

Every POST can also be answered with 408 (the body did not come in time), or with 400 where it is not what its headers
say; plan, takes, schedule and sound with 429, where too many wait for an answer.
"""

from .. import host
from . import live, moments, plan, refusals, schedule, sound, takes

__all__ = ["add_routes"]


def add_routes() -> None:
    """Let ComfyUI's server answer on every route of the pack, and look at what is queued."""
    live.add_routes()
    schedule.add_routes()
    plan.add_routes()
    moments.add_routes()
    takes.add_routes()
    sound.add_routes()
    host.check_queued(refusals.refusal)
