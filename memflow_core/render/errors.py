"""The error of a job that cannot be made, and values cut short for its message."""

from __future__ import annotations


class JobError(ValueError):
    """One sentence for the person who gave a job: what is wrong, and what to do."""


class RefusedError(JobError):
    """A job that would be refused each time: the server does not take its graph."""


def say(name: object, problem: str) -> JobError:
    """A JobError about a file, a line or a job: `name: problem`."""
    return JobError(f"{name}: {problem}")


def cut(text: object, limit: int = 60) -> str:
    """Quote any value for a message, cut to `limit` characters."""
    shown = repr(text)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."
