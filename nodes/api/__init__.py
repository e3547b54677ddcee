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
| GET /memflow/live/{prompt_id}/{node_id}  | 200    | `{"state": {...}}`                                          |
|                                          | 404    | error: no such run                                          |
| POST /memflow/live/{prompt_id}/{node_id} | 200    | `{"state": {...}}`, and `number` for a prompt               |
|                                          | 400    | error: no JSON, or not understood                           |
|                                          | 404    | error: no such run                                          |
|                                          | 409    | error: not possible in this run, or no longer               |
|                                          | 413    | error: the body is larger than 64 KiB                       |
|                                          | 415    | error: the content type is not that of JSON                 |

Every POST can also be answered with 408 (the body did not come in time), or with 400 where it is not what its headers
say; plan and schedule with 429, where too many wait for an answer.
"""

from . import live, plan, schedule

__all__ = ["add_routes"]


def add_routes() -> None:
    """Let ComfyUI's server answer on every route of the pack."""
    live.add_routes()
    schedule.add_routes()
    plan.add_routes()
