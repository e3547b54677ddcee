"""A pipeline of threads: order, bounds, errors, and an end without leftovers."""

from __future__ import annotations

import contextvars
import gc
import threading
import time
import weakref

import pytest

from memflow_core.video import Pipeline

PATIENCE_S = 60


class Cancelled(BaseException):
    """Not an Exception, as ComfyUI's own."""


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) - before == set()


def until(condition) -> None:
    """Wait until another thread has made a condition true."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def same(item):
    return item


@pytest.mark.parametrize("stages", [0, 1, 2, 4])
def test_every_item_goes_through_all_stages_in_order(stages):
    with Pipeline({f"stage {number}": lambda item, by=number: [*item, by] for number in range(stages)}) as pipeline:
        for item in range(20):
            pipeline.put([item])
    assert pipeline.take() == [[item, *range(stages)] for item in range(20)]
    assert pipeline.take() == []


def test_stages_work_at_the_same_time():
    meeting = threading.Barrier(2)

    def meet(wanted):
        return lambda item: meeting.wait(PATIENCE_S) and item if item == wanted else item

    with Pipeline({"first": meet("b"), "second": meet("a")}) as pipeline:
        pipeline.put("a")
        pipeline.put("b")
    assert not meeting.broken


@pytest.mark.parametrize("depth", [1, 2])
def test_a_slow_stage_makes_the_others_wait(depth):
    gate, put, looks = threading.Semaphore(0), [], []

    def slow(item):
        assert gate.acquire(timeout=PATIENCE_S)
        return item

    def look():
        looks.append(len(put))
        # nothing moved for a while
        if looks.count(len(put)) == 10:
            raise Cancelled

    with pytest.raises(Cancelled), Pipeline({"quick": same, "slow": slow}, depth, look) as pipeline:
        try:
            for item in range(100):
                pipeline.put(item)
                put.append(item)
        finally:
            gate.release(100)
    # each stage works on one and has `depth` before it
    assert len(put) == 2 * (depth + 1) and pipeline.take() == put


def test_nothing_that_is_finished_stays_in_memory():
    class Picture:
        pass

    with Pipeline({"first": same, "second": lambda _: None}) as pipeline:
        picture = Picture()
        alive = weakref.ref(picture)
        pipeline.put(picture)
        del picture
        pipeline.settle()
        until(lambda: gc.collect() >= 0 and alive() is None)


@pytest.mark.parametrize("failing", ["first", "second", "third"])
@pytest.mark.parametrize("error", [OSError("the disk is full"), Cancelled()], ids=["error", "cancel"])
def test_an_error_in_a_stage_stops_the_run_with_that_error(failing, error):
    def work(name):
        def run(item):
            if name == failing and item == 3:
                raise error
            return item

        return run

    put = []
    with (
        pytest.raises(type(error)) as raised,
        Pipeline({name: work(name) for name in ("first", "second", "third")}) as p,
    ):
        for item in range(1000):
            p.put(item)
            put.append(item)
    assert raised.value is error
    # items before it were finished; few were put after it
    assert p.take() == [0, 1, 2] and len(put) <= 3 + 2 * 3 + 1


def test_an_error_is_seen_without_putting_anything():
    def fail(item):
        raise ValueError(item)

    with pytest.raises(ValueError, match="late"), Pipeline({"only": fail}) as pipeline:
        pipeline.check()
        pipeline.put("late")
        until(lambda: not any(thread.name == "memflow only" for thread in threading.enumerate()))
        pipeline.check()


def test_an_exception_beside_put_lets_the_items_finish():
    done = []
    with pytest.raises(Cancelled), Pipeline({"first": same, "second": done.append}) as pipeline:
        pipeline.put(1)
        pipeline.put(2)
        raise Cancelled
    assert done == [1, 2]


def test_waiting_can_be_stopped():
    gate = threading.Event()

    def cancel():
        gate.set()
        raise Cancelled

    for wait in (Pipeline.settle, Pipeline.close):
        gate.clear()
        with pytest.raises(Cancelled), Pipeline({"held": lambda _: gate.wait(PATIENCE_S)}, meanwhile=cancel) as p:
            p.put(1)
            wait(p)
        assert p.take() == [True]


def test_settled_means_that_nothing_is_worked_on():
    busy = []

    def work(item):
        busy.append(item)
        time.sleep(0.01)
        busy.remove(item)
        return item

    with Pipeline({"first": work, "second": work}) as pipeline:
        for item in range(3):
            pipeline.put(item)
        pipeline.settle()
        assert busy == [] and pipeline.take() == [0, 1, 2]
        pipeline.put(3)
    assert pipeline.take() == [3]


def test_stages_run_in_the_context_of_their_maker():
    running = contextvars.ContextVar("running")
    running.set("node 5")
    with Pipeline({"only": lambda _: running.get()}) as pipeline:
        pipeline.put(None)
    assert pipeline.take() == ["node 5"]


def test_a_closed_pipeline_takes_nothing():
    with Pipeline({"only": same}) as pipeline:
        pipeline.close()
        with pytest.raises(ValueError, match="closed"):
            pipeline.put(1)


def test_a_depth_below_1_is_refused():
    with pytest.raises(ValueError, match="depth is 0"):
        Pipeline({"only": same}, depth=0)
