"""What each published checkpoint was trained with, and which of them a file is."""

from .pick import Picked, Signs, pick, refusal, signs_of_name
from .profile import Profile
from .table import AUTO, LAYOUTS, PROFILES, Layout, dim_of, layout_of

__all__ = [
    "AUTO",
    "LAYOUTS",
    "PROFILES",
    "Layout",
    "Picked",
    "Profile",
    "Signs",
    "dim_of",
    "layout_of",
    "pick",
    "refusal",
    "signs_of_name",
]
