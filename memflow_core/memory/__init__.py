"""KV cache slots, the memory bank and its retrieval policies (NAM), pins, provenance, trace."""

from .bank import Bank
from .cache import KVCache, part_names
from .frame_kv import Offer, Prototype
from .layout import Occupancy, Span, frames_of_slots
from .narrative import MASS_TILE, NarrativeMemory
from .pins import NamedPin
from .policy import LayerHook
from .prompt_keys import PromptKeys
from .provenance import WRITES, Ledger, Write
from .reference import ReferenceMemory, published_span, rank
from .trace import KINDS, Record, Trace

__all__ = [
    "Bank",
    "KINDS",
    "KVCache",
    "LayerHook",
    "Ledger",
    "MASS_TILE",
    "NamedPin",
    "NarrativeMemory",
    "Occupancy",
    "Offer",
    "PromptKeys",
    "Prototype",
    "Record",
    "ReferenceMemory",
    "Span",
    "Trace",
    "WRITES",
    "Write",
    "frames_of_slots",
    "part_names",
    "published_span",
    "rank",
]
