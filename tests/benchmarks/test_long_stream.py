"""Memory of a long stream: 2,000 latent frames need no more than 60."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MEASURE = (
    "import json, torch; torch.set_num_threads(1); from benchmarks.long_stream import measure; "
    "flat = measure(2000); print(json.dumps([flat.chunks, flat.early_bytes, flat.late_bytes]))"
)


@pytest.mark.slow
def test_memory_does_not_grow_with_length():
    """Peak memory after chunk 20 and at the end, in a new process, within 2 %."""
    run = subprocess.run([sys.executable, "-c", MEASURE], cwd=ROOT, check=True, capture_output=True)
    chunks, early, late = json.loads(run.stdout)
    assert chunks == 667
    assert late <= 1.02 * early
