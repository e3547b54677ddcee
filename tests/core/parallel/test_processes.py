"""What a caller gets when the processes of a stream fail, end or fall silent; and that none stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from memflow_core.parallel import ParallelError, run
from tests.core.parallel.work import Fault

ROOT = Path(__file__).resolve().parents[3]


def state_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return "Z"


def has_ended(process: int, within_s: float = 20.0) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        # one that has ended but was not waited for is still listed
        if Path("/proc").exists() and state_of(process) == "Z":
            return True
        time.sleep(0.1)
    return False


@pytest.mark.slow
def test_items_come_in_order_and_processes_end():
    made = list(run(Fault(), processes=2))
    assert [total for total, _ in made] == [2, 2, 2]
    assert has_ended(made[0][1])


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 3])
def test_any_number_of_processes(processes):
    assert [total for total, _ in run(Fault(), processes=processes)] == [processes] * 3


@pytest.mark.slow
def test_a_caller_that_takes_its_time_is_no_silence():
    items = run(Fault(), processes=2, timeout_s=2.0)
    next(items)
    time.sleep(4.0)
    assert len(list(items)) == 2


FAULTS = {
    "raise": r"^process {n} of 2 failed: the weights are damaged: fetch them again\.$",
    "exit": r"^process {n} of 2 ended without a word: start the run again\.$",
    "kill": r"^process {n} of 2 was ended by signal 9: start the run again\.$",
    "stop": r"^process {n} of 2 was silent for 3 s: look at its device, and start the run again\.$",
}


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("kind", FAULTS)
def test_when_one_process_fails_all_end_with_one_sentence(kind, rank):
    items = run(Fault(kind, rank), processes=2, timeout_s=3.0, ahead=0)
    _, first = next(items)
    with pytest.raises(ParallelError, match=FAULTS[kind].format(n=rank + 1)):
        list(items)
    assert has_ended(first)


@pytest.mark.slow
def test_closing_the_iterator_ends_the_processes():
    items = run(Fault(), processes=2)
    _, first = next(items)
    items.close()
    assert has_ended(first)


@pytest.mark.slow
def test_processes_end_with_their_caller():
    program = (
        "import os\n"
        "from memflow_core.parallel import run\n"
        "from tests.core.parallel.work import Fault\n"
        "if __name__ == '__main__':\n"
        "    items = run(Fault(), processes=2, ahead=0)\n"
        "    print(next(items)[1], flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == -9, done.stderr
    assert has_ended(int(done.stdout))
