"""Render stories without a browser, on one machine or many: each job runs in a real headless ComfyUI, over HTTP.

`python -m memflow_core.render --help`. It takes aiohttp, which ComfyUI brings, and libav for joining films; Ray is
optional (`ray_workers`).
"""

from .convert import convert
from .errors import JobError
from .jobs import JOB_FORMAT, make_jobs, read_story
from .parts import cut_job
from .ranks import RankVariables
from .server import end_process, failure, free_port

__all__ = [
    "JOB_FORMAT",
    "JobError",
    "RankVariables",
    "convert",
    "cut_job",
    "end_process",
    "failure",
    "free_port",
    "make_jobs",
    "read_story",
]
