"""What memory did in a run, read from its report and drawn as a sheet."""

from .memory_report import MemoryReport, Row, read_report
from .memory_sheet import MOST_ROWS, draw_sheet
from .thumbnails import data_url, picture_of

__all__ = ["MOST_ROWS", "MemoryReport", "Row", "data_url", "draw_sheet", "picture_of", "read_report"]
