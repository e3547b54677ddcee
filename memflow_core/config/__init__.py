"""Settings of a stream: latent size, model sizes, memory, and how a chunk is sampled.

Every value is checked once, when the object is made; the rest of the core relies on it.
"""

from .fit import check_fit, stream_positions
from .memory import (
    ADMISSIONS,
    ARCHIVE_GB,
    ARCHIVE_RULES,
    ARCHIVES,
    BANK_KEYS,
    CACHES,
    MAX_ABSOLUTE_FRAMES,
    MAX_ARCHIVE_GB,
    MAX_BANK_FRAMES,
    MEMORIES,
    POSITIONS,
    RECORDS,
    RETRIEVALS,
    RULES_BY_KEYS,
    SINKS,
    MemoryConfig,
)
from .sampling import BLEND_PATHS, SOLVERS, SWITCHES, SamplingConfig, check_switch
from .sizes import LatentShape, ModelConfig

__all__ = [
    "ADMISSIONS",
    "ARCHIVES",
    "ARCHIVE_GB",
    "ARCHIVE_RULES",
    "BANK_KEYS",
    "BLEND_PATHS",
    "CACHES",
    "MAX_ABSOLUTE_FRAMES",
    "MAX_ARCHIVE_GB",
    "MAX_BANK_FRAMES",
    "MEMORIES",
    "POSITIONS",
    "RECORDS",
    "RETRIEVALS",
    "RULES_BY_KEYS",
    "SINKS",
    "SOLVERS",
    "SWITCHES",
    "LatentShape",
    "MemoryConfig",
    "ModelConfig",
    "SamplingConfig",
    "check_fit",
    "check_switch",
    "stream_positions",
]
