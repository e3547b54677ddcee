"""Settings of a stream on several processes that cannot be: one sentence each, before a process is started."""

from __future__ import annotations

import pytest
import torch

from memflow_core.parallel import run
from tests.core.parallel.work import Fault


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"processes": 0}, "processes is 0, but must be a whole number of at least 1."),
        ({"processes": True}, "processes is True, but must be a whole number of at least 1."),
        ({"processes": 2.0}, "processes is 2.0, but must be a whole number of at least 1."),
        ({"processes": 2, "timeout_s": 0}, "timeout_s is 0, but must be above 0."),
        ({"processes": 2, "timeout_s": float("nan")}, "timeout_s is nan, but must be above 0."),
        ({"processes": 2, "ahead": -1}, "ahead is -1, but must be a whole number of at least 0."),
        ({"processes": 2, "devices": ["cpu"]}, "devices names 1, but there are 2 processes: name one for each."),
        ({"processes": 2, "devices": ["cpu", "cuda:0"]}, "all must be 'cpu', or all GPUs as 'cuda:0', 'cuda:1'."),
        ({"processes": 2, "devices": ["mps", "mps"]}, "all must be 'cpu', or all GPUs as 'cuda:0', 'cuda:1'."),
        ({"processes": 2, "devices": ["cuda", "cuda"]}, "must be different GPUs of the 0 that are here."),
        ({"processes": 1, "devices": ["cuda:7"]}, "must be different GPUs of the 0 that are here."),
        ({"processes": 1, "devices": ["gpu one"]}, "device 'gpu one' is none: name 'cpu', or GPUs as 'cuda:0'."),
    ],
)
def test_settings_that_cannot_be_are_refused_before_a_process_is_started(monkeypatch, settings, sentence):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError) as refused:
        run(Fault(), **settings)
    assert sentence in str(refused.value) and str(refused.value).count(". ") == 0


@pytest.mark.parametrize("there", [1, 2])
def test_processes_that_outnumber_the_gpus_are_refused(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    with pytest.raises(ValueError, match=f"processes is 3, but this machine has {there} GPU"):
        run(Fault(), processes=3)


def test_work_that_cannot_be_sent_is_refused():
    with pytest.raises(ValueError, match="cannot be sent to other processes"):
        run(lambda group: iter(()), processes=2)
