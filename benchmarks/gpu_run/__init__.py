"""One prepared command for a GPU: first whether everything is right on it, then how fast it is.

    python -m benchmarks.gpu_run OUT.json [--tiny] [--deadline S] [--without NAME ...]

Sections run one after another, and each result is in the file before the next begins. A section that fails is told
with its sentence, and the rest goes on; a miss in `exact` or `golden` leaves everything after it unmeasured.
"""

from .bench import Bench
from .exact import attention_errors, write_error
from .golden import replay_recordings
from .record import NOT_MEASURED, MissError, Record, Section
from .run import run, sections

__all__ = [
    "NOT_MEASURED",
    "Bench",
    "MissError",
    "Record",
    "Section",
    "attention_errors",
    "replay_recordings",
    "run",
    "sections",
    "write_error",
]
