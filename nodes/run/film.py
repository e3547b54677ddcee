"""The file that a run writes, as a page plays it while it grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...memflow_core.video import VideoWriter
from .. import host


@dataclass(frozen=True)
class GrowingFilm:
    """A video file under way.

    file    where the finished film will be.
    writer  writes it.
    """

    file: host.OutputFile
    writer: VideoWriter

    def to_dict(self) -> dict[str, Any] | None:
        """Name, subfolder and type of the unfinished file as ComfyUI's `/view` takes them, fit for JSON.

        With `bytes`, how much of it there is in whole fragments, and `media`, its media type for a player of fragments
        (null where players take none). None before the first fragment, and where the file was lost.
        """
        path = self.writer.unfinished
        if not self.writer.bytes or not path.exists():
            return None
        return {
            "filename": path.name,
            "subfolder": self.file.subfolder,
            "type": self.file.folder,
            "bytes": self.writer.bytes,
            "media": self.writer.media_type,
        }
