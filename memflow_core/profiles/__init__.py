"""What each published checkpoint was trained with, what was measured best for it, and which of them a file is."""

from .open_memory import OPEN_SETTINGS, OpenMemory, left_open, settled
from .pick import Picked, Signs, pick, profile_of, refusal, signs_of_name
from .profile import Profile
from .table import AUTO, LAYOUTS, PROFILES, Layout, dim_of, layout_of

__all__ = [
    "AUTO",
    "LAYOUTS",
    "OPEN_SETTINGS",
    "PROFILES",
    "Layout",
    "OpenMemory",
    "Picked",
    "Profile",
    "Signs",
    "dim_of",
    "layout_of",
    "left_open",
    "pick",
    "profile_of",
    "refusal",
    "settled",
    "signs_of_name",
]
