"""KV cache slots, the memory bank and its retrieval policies (NAM), pins, provenance, trace."""

from .archive import Archive, Moments
from .averaged_sink import fold_into_sink
from .bank import MemoryBank
from .cache import KVCache, Stretch, part_names
from .factory import make_memory
from .forecast import memory_forecast
from .frame_kv import Candidate, FrameKV, RebuiltKV
from .layout import FrameSpan, SlotLayout, frames_of_slots
from .nam_scores import MASS_QUERIES
from .narrative import NarrativeMemory
from .pins import NamedPin, Pins
from .policy import LayerHook, MemoryPolicy
from .prompt_keys import PromptKeys
from .provenance import UNKNOWN, WRITES, KVProvenance, KVWrite
from .recall import ARCHIVE_RULE
from .reference import ReferenceMemory, published_span, rank
from .state_dict import EmbeddingTable, StateDict, read_embeddings
from .trace import KINDS, Record, Trace

__all__ = [
    "ARCHIVE_RULE",
    "KINDS",
    "MASS_QUERIES",
    "UNKNOWN",
    "WRITES",
    "Archive",
    "Candidate",
    "EmbeddingTable",
    "FrameKV",
    "FrameSpan",
    "KVCache",
    "KVProvenance",
    "KVWrite",
    "LayerHook",
    "MemoryBank",
    "MemoryPolicy",
    "Moments",
    "NamedPin",
    "NarrativeMemory",
    "Pins",
    "PromptKeys",
    "RebuiltKV",
    "Record",
    "ReferenceMemory",
    "SlotLayout",
    "StateDict",
    "Stretch",
    "Trace",
    "fold_into_sink",
    "frames_of_slots",
    "make_memory",
    "memory_forecast",
    "part_names",
    "published_span",
    "rank",
    "read_embeddings",
]
