"""ComfyUIs that make a story together: who is at fault when one fails, and which GPU is whose."""

from __future__ import annotations

import time

import pytest

from memflow_core.render import JobError, RankVariables, cut_job
from memflow_core.render.ranks import GPUS, LOST, Ranks, env_of_rank
from memflow_core.render.server import Installation
from memflow_core.render.workers import ProcessExecutor
from tests.core.render.test_driver import INFOS, job

GOOD = {"status": {"status_str": "success"}, "outputs": {}}


def failed(message: str) -> dict:
    error = {"node_type": "MemFlowStreamToVideo", "node_id": "5", "exception_message": message}
    return {"status": {"status_str": "error", "messages": [["execution_error", error]]}, "outputs": {}}


class FakeServer:
    """A server whose run ends as it is told, after some time."""

    def __init__(self, outcome: dict | JobError, after_s: float = 0.0) -> None:
        self.outcome = outcome
        self.after_s = after_s
        self.dead = False
        self.graphs: list[dict] = []

    def run(self, graph, on_event):  # noqa: ARG002
        self.graphs.append(graph)
        time.sleep(self.after_s)
        if isinstance(self.outcome, JobError):
            self.dead = True
            raise self.outcome
        return self.outcome

    def ended(self) -> bool:
        return self.dead


def ranks(tmp_path, *servers: FakeServer) -> Ranks:
    made = Ranks(Installation("x"), tmp_path, count=len(servers), saves="save")
    made.servers = list(servers)
    made.first = servers[0]
    return made


GRAPH = {"5": {"class_type": "MemFlowStreamToVideo", "inputs": {}}, "save": {"class_type": "X", "inputs": {}}}


def test_all_run_the_graph_and_the_first_saves(tmp_path):
    first, second = FakeServer({**GOOD, "outputs": {"5": {"video": []}}}), FakeServer(GOOD, 0.1)
    both = ranks(tmp_path, first, second)
    assert both.run(GRAPH, print) == first.outcome and both.in_step
    assert first.graphs == [GRAPH] and second.graphs == [{"5": GRAPH["5"]}]


@pytest.mark.parametrize("at_fault", [0, 1])
def test_the_one_at_fault_says_why(tmp_path, at_fault):
    """Others notice at once, and it may take a while to say why."""
    servers = [FakeServer(failed(f"process {rank} of 2 {LOST}.")) for rank in range(2)]
    servers[at_fault] = FakeServer(failed("out of memory."), 0.5)
    made = ranks(tmp_path, *servers)
    assert made.run(GRAPH, print) == failed("out of memory.") and not made.in_step


def test_one_that_hangs_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("memflow_core.render.ranks.GRACE_S", 0.3)
    made = ranks(tmp_path, FakeServer(GOOD, 60), FakeServer(failed("out of memory.")))
    begin = time.monotonic()
    assert made.run(GRAPH, print) == failed("out of memory.")
    assert time.monotonic() - begin < 30 and not made.in_step


def test_one_that_ends_ends_all(tmp_path):
    made = ranks(tmp_path, FakeServer(failed(f"process 1 of 2 {LOST}.")), FakeServer(JobError("ComfyUI ended."), 0.5))
    with pytest.raises(JobError, match="one of 2 ComfyUIs ended"):
        made.run(GRAPH, print)
    assert made.ended() and not made.in_step


def test_each_has_its_number_and_its_gpu(tmp_path, monkeypatch):
    monkeypatch.delenv(GPUS, raising=False)
    envs = [env_of_rank(rank, 2, tmp_path, {GPUS: "4,7", "A": "b"}) for rank in range(2)]
    assert [env[GPUS] for env in envs] == ["4", "7"] and all(env["A"] == "b" for env in envs)
    assert [env[RankVariables.RANK] for env in envs] == ["0", "1"]
    assert len({env[RankVariables.MEETING] for env in envs}) == 1
    assert env_of_rank(0, 1, tmp_path, {"A": "b"}) == {"A": "b"}


@pytest.mark.parametrize(
    ("named", "there", "slot", "each", "gpus"),
    [
        (None, 4, 0, 1, "0"),
        (None, 4, 1, 2, "2,3"),
        ("3,5,6", 3, 1, 1, "5"),
        ("3, 5 ,6,7", 4, 1, 2, "6,7"),
        (None, 0, 1, 2, None),
    ],
)
def test_workers_share_out_the_gpus_that_may_be_used(monkeypatch, tmp_path, named, there, slot, each, gpus):
    given = workers_on(monkeypatch, tmp_path, named=named, there=there, count=2, each=each)
    assert given(slot).get(GPUS) == gpus


def test_too_few_gpus_are_refused(monkeypatch, tmp_path):
    with pytest.raises(JobError, match=r"needs 4 GPUs, but there are 3: give fewer\.$"):
        workers_on(monkeypatch, tmp_path, named=None, there=3, count=2, each=2)


def workers_on(monkeypatch, tmp_path, *, named, there, count, each):
    """The environment that each worker is given by its slot, on a machine of so many GPUs."""
    if named is None:
        monkeypatch.delenv(GPUS, raising=False)
    else:
        monkeypatch.setenv(GPUS, named)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho {there}\n")
    python.chmod(0o755)
    monkeypatch.setattr("memflow_core.render.workers.ProcessWorker", lambda settings: settings)
    executor = ProcessExecutor(tmp_path, Installation("x", python=str(python)), count, each)
    return lambda slot: executor.start("w", slot)["env"]


def test_parts_of_another_number_of_gpus_are_others():
    """Their sums are rounded in another order, and a film is made by one number of GPUs from its first frame on."""
    graph = job("x", ["a", "b"]).graph
    keys = [{part.key for part in cut_job(graph, INFOS, ranks=count).parts} for count in (1, 2)]
    assert not keys[0] & keys[1] and keys[0] == {part.key for part in cut_job(graph, INFOS).parts}
