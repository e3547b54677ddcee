"""Does the bank decide who comes back? Any model, any list of stories, and its own bank, none, or another's."""

from .banks import AtFirstRead
from .command import main
from .embedders import colours, vector_of
from .measure import Settings, measure, summary
from .play import play_return, play_until_return
from .stories import ProtocolStory, read_stories
from .tiny import TinyModel

__all__ = [
    "AtFirstRead",
    "ProtocolStory",
    "Settings",
    "TinyModel",
    "colours",
    "main",
    "measure",
    "play_return",
    "play_until_return",
    "read_stories",
    "summary",
    "vector_of",
]
