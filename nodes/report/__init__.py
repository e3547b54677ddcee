"""What memory did in a run: read its report, draw it as a sheet, make pictures of frames."""

from .memory_report import MOST_CHUNK_ROWS, ROWS, MemoryReport, Row, read_report
from .memory_sheet import MOST_ROWS, draw_sheet
from .thumbnails import data_url, frame_pictures, picture_of

__all__ = [
    "MOST_CHUNK_ROWS",
    "MOST_ROWS",
    "ROWS",
    "MemoryReport",
    "Row",
    "data_url",
    "draw_sheet",
    "frame_pictures",
    "picture_of",
    "read_report",
]
