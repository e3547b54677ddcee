"""Read and write the tags of a video that bring its workflow back."""

from __future__ import annotations

from pathlib import Path

from .errors import JobError

VIDEOS = (".mp4", ".webm", ".mkv")
PLAYED = "memflow_played"


def read_tags(path: Path) -> dict[str, str]:
    """All tags of a video file, by name in small letters. Raises JobError if it is no video, or none of ours."""
    tags = tags_of(path)
    if "prompt" not in tags:
        raise JobError("the video does not carry the workflow that made it: give the workflow's file.")
    return tags


def tags_of(path: Path) -> dict[str, str]:
    """All tags of a video file, by name in small letters. Raises JobError if it is no video."""
    # loaded here: reading schedules and workflows needs no libav
    import av
    from av.error import FFmpegError

    try:
        with av.open(path) as file:
            return {name.lower(): value for name, value in file.metadata.items()}
    except (FFmpegError, OSError):
        raise JobError("it is no video that can be read.") from None
