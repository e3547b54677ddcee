"""Replay recordings of the published MemFlow program and compare: `python -m tests.parity DIR [WAY] [--device D]`.

WAY, one of `WAYS`, is how the forward is run; `fused` needs TRITON_INTERPRET=1 where there is no GPU. D is where models
and streams compute: beside the CPU no tolerance is below 1e-4, and decisions are equal as ever. Prints one line a case
(name, largest error, tolerance), then `N passed, N failed`; exits 1 on a miss. A case is a JSON file with a `case` key
and the safetensors file beside it.
"""

from .case import WAYS
from .replay import find_cases, main, run_case

__all__ = ["WAYS", "find_cases", "main", "run_case"]
