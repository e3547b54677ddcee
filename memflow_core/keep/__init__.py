"""Keep a story's exact moments on disk, and go on from the longest beginning that is the same.

A *moment* is a stream's exact state at a chunk's start; a *part* is what was made between two moments: its latents, and
its compressed pictures. Both are known by a digest of all that the story was made from up to there.
"""

from .beginning import (
    NUMBERS,
    Made,
    Prints,
    Setting,
    beginning,
    ends_of_parts,
    is_part_end,
    place_of,
    seed_of,
    setting_of,
)
from .fingerprint import Fingerprint, fingerprint, machine_of, tree_fingerprint
from .keep import Keep, Keeping, Taken, longest, take_snapshot
from .labels import LabelName, LabelText
from .library import DEFAULT_GB, Library, default_budget
from .parts import MomentFile
from .side_writer import SideWriter

__all__ = [
    "DEFAULT_GB",
    "NUMBERS",
    "Fingerprint",
    "Keep",
    "Keeping",
    "LabelName",
    "LabelText",
    "Library",
    "Made",
    "MomentFile",
    "Prints",
    "Setting",
    "SideWriter",
    "Taken",
    "beginning",
    "default_budget",
    "ends_of_parts",
    "fingerprint",
    "is_part_end",
    "longest",
    "machine_of",
    "place_of",
    "seed_of",
    "setting_of",
    "take_snapshot",
    "tree_fingerprint",
]
