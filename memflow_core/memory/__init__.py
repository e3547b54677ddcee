"""KV cache slots, the memory bank and its retrieval policies (NAM), pins, provenance, trace."""

from .bank import MemoryBank
from .cache import KVCache, part_names
from .frame_kv import Candidate, FrameKV
from .layout import FrameSpan, SlotLayout, frames_of_slots
from .narrative import MASS_TILE, NarrativeMemory
from .pins import NamedPin
from .policy import LayerHook
from .prompt_keys import PromptKeys
from .provenance import UNKNOWN, WRITES, KVProvenance, KVWrite
from .reference import ReferenceMemory, published_span, rank
from .trace import KINDS, Record, Trace

__all__ = [
    "MemoryBank",
    "KINDS",
    "KVCache",
    "LayerHook",
    "KVProvenance",
    "MASS_TILE",
    "NamedPin",
    "NarrativeMemory",
    "SlotLayout",
    "Candidate",
    "PromptKeys",
    "FrameKV",
    "Record",
    "ReferenceMemory",
    "FrameSpan",
    "Trace",
    "UNKNOWN",
    "WRITES",
    "KVWrite",
    "frames_of_slots",
    "part_names",
    "published_span",
    "rank",
]
