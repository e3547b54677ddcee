"""Files on disk: drafts that become whole files, syncing, and a bounded look at a safetensors header."""

from .draft import Draft, remove_stale_drafts
from .header import check_header
from .sync import sync_file, sync_folder, sync_growing
from .tensors import DTYPE_NAMES, write_safetensors

__all__ = [
    "DTYPE_NAMES",
    "Draft",
    "check_header",
    "remove_stale_drafts",
    "sync_file",
    "sync_folder",
    "sync_growing",
    "write_safetensors",
]
