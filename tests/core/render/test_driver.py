"""The driver: parts are shared, workers die and fall silent, drivers are killed, and every film comes out the same."""

from __future__ import annotations

import random

import pytest

from memflow_core.render import JobError, cut_job
from memflow_core.render.driver import Driver, Rules
from memflow_core.render.jobs import Job
from memflow_core.render.journal import ASIDE, DONE, Journal, only_driver
from memflow_core.render.tree import Tree
from tests.cases.job_files import graph
from tests.core.render.fakes import FakeExecutor, frames, work

NODES = ("MemFlowTinyStory", "MemFlowPromptSchedule", "MemFlowStreamToVideo", "MemFlowSaveState", "PreviewAny")
WRITERS = {"MemFlowStreamToVideo", "MemFlowSaveState", "PreviewAny"}
INFOS = {name: {"output_node": name in WRITERS} for name in NODES}


def job(name: str, prompts: list[str], seed: int = 1, **inputs) -> Job:
    """A job with a prompt every 1.5 s."""
    made = graph()
    lines = [f"{1.5 * place}s: {prompt}" for place, prompt in enumerate(prompts)]
    made["3"]["inputs"]["prompts"] = "\n".join([f"length: {1.5 * len(prompts)}s", *lines])
    made["5"]["inputs"] |= {"seed": seed, "length": 1000, **inputs}
    return Job(f"{name}-id", name, made)


def stories(count: int = 8) -> list[Job]:
    """Stories with three beginnings of two prompts each, of different ends."""
    begins = [[f"begin {number % 3}", f"more {number % 3}"] for number in range(count)]
    return [job(f"story{number}", [*begins[number], f"end {number}", "all"]) for number in range(count)]


def cuts(jobs: list[Job]):
    return [(one, cut_job(one.graph, INFOS)) for one in jobs]


@pytest.fixture
def journal(tmp_path) -> Journal:
    made = Journal(tmp_path / "out")
    made.make()
    return made


def films(journal: Journal) -> dict[str, list[bytes]]:
    return {record.name: frames(journal.out / record.files[0]) for record in journal.records() if record.state == DONE}


def render(journal: Journal, jobs: list[Job], **more) -> FakeExecutor:
    executor = FakeExecutor(journal)
    with Driver(journal, executor, **more) as driver:
        driver.take(cuts(jobs))
        work(driver)
    return executor


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, list[bytes]]:
    journal = Journal(tmp_path_factory.mktemp("undisturbed"))
    journal.make()
    render(journal, stories())
    return films(journal)


def test_beginnings_are_made_once(journal, undisturbed):
    executor = render(journal, stories())
    assert len(set(executor.given)) == len(executor.given) == 3 * 2 + 8 * 2
    assert films(journal) == undisturbed and len(undisturbed) == 8
    assert len({frame for film in undisturbed.values() for frame in film}) > 8


def test_states_that_nothing_needs_any_more_are_removed(journal):
    render(journal, stories())
    assert list(journal.parts.glob("*.safetensors")) == []


@pytest.mark.parametrize("seed", range(8))
def test_workers_die_at_any_moment(journal, undisturbed, seed):
    dice = random.Random(seed)
    executor = FakeExecutor(journal)
    with Driver(journal, executor) as driver:
        driver.take(cuts(stories()))
        for number in range(2):
            driver.start_worker(number)
        for _ in range(4000):
            if driver.finished:
                break
            driver.step()
            if dice.random() < 0.05:
                dice.choice(driver.slots).link.dead = True
    assert films(journal) == undisturbed


def test_a_worker_that_died_after_its_last_write_is_not_asked_again(journal):
    """What it wrote counts, though it could not say so."""
    executor = FakeExecutor(journal, 1)
    with Driver(journal, executor) as driver:
        driver.take(cuts([job("a", ["x", "y"])]))
        driver.start_worker(0)
        driver.step()
        link = executor.links[0]
        link.left = 1
        link.events()
        link.dead = True
        work(driver)
    assert executor.given.count(link.given[0]) == 1


class Clock:
    """A second passes each time that it is read."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_a_silent_worker_is_ended_and_replaced(journal, undisturbed):
    executor = FakeExecutor(journal)
    with Driver(journal, executor, Rules(silence_s=100), clock=Clock()) as driver:
        driver.take(cuts(stories()))
        for number in range(2):
            driver.start_worker(number)
        driver.step()
        executor.links[0].silent = True
        work(driver)
        assert executor.links[0].dead and len(executor.links) == 3
        assert any("silent" in line for line in driver.lines)
    assert films(journal) == undisturbed


def test_a_worker_that_starts_may_be_silent_for_longer(journal):
    executor = FakeExecutor(journal, 1)
    with Driver(journal, executor, Rules(silence_s=10, start_s=1000), clock=Clock()) as driver:
        driver.take(cuts([job("a", ["x"])]))
        driver.start_worker(0)
        executor.links[0].silent = True
        for _ in range(200):
            driver.step()
        assert len(executor.links) == 1
        for _ in range(2000):
            driver.step()
        assert len(executor.links) > 1


def test_a_worker_that_makes_no_progress_is_replaced(journal):
    executor = FakeExecutor(journal, 1)
    with Driver(journal, executor, Rules(stuck_s=100), clock=Clock()) as driver:
        driver.take(cuts([job("a", ["x"])]))
        driver.start_worker(0)
        driver.step()
        executor.links[0].task = None  # beats go on
        work(driver)
        assert any("no progress" in line for line in driver.lines)


@pytest.mark.parametrize("stop_after", range(1, 26, 6))
def test_a_driver_that_was_killed_goes_on(journal, undisturbed, stop_after):
    first = FakeExecutor(journal)
    with Driver(journal, first) as driver:
        driver.take(cuts(stories()))
        for number in range(2):
            driver.start_worker(number)
        for _ in range(stop_after):
            driver.step()
    whole = {path.stem for path in journal.parts.glob("*.json")}
    second = render(journal, stories())
    assert films(journal) == undisturbed
    assert not whole & set(second.given)


def test_a_finished_folder_has_nothing_left_to_do(journal):
    render(journal, stories())
    assert render(journal, stories()).given == []


def test_a_film_that_was_deleted_is_joined_again(journal, undisturbed):
    render(journal, stories())
    (journal.out / journal.records()[0].files[0]).unlink()
    assert render(journal, stories()).given == []
    assert films(journal) == undisturbed


def test_a_job_that_fails_three_times_is_set_aside_and_the_others_go_on(journal):
    jobs = stories(4)
    bad = cut_job(jobs[2].graph, INFOS).parts[2].key
    executor = FakeExecutor(journal)
    executor.fails[bad] = "it does not work."
    with Driver(journal, executor) as driver:
        driver.take(cuts(jobs))
        work(driver)
        states = {record.name: record.state for record in driver.records.values()}
    assert states == {"story0": DONE, "story1": DONE, "story2": ASIDE, "story3": DONE}
    assert executor.given.count(bad) == 3
    record = journal.load(jobs[2].id)
    assert record.problem == "it does not work." and (journal.out / record.log).read_text() == "why"
    # it stays aside, unless it is asked for
    executor.fails.clear()
    assert render(journal, jobs).given == []
    with Driver(journal, FakeExecutor(journal)) as driver:
        driver.take(cuts(jobs), retry=True)
        work(driver)
    assert journal.load(jobs[2].id).state == DONE


def test_a_shared_beginning_that_fails_sets_aside_all_its_jobs(journal):
    jobs = stories(6)
    executor = FakeExecutor(journal)
    executor.fails[cut_job(jobs[0].graph, INFOS).parts[0].key] = "no."
    with Driver(journal, executor) as driver:
        driver.take(cuts(jobs))
        work(driver)
        assert [record.state for record in driver.records.values()] == [ASIDE, DONE, DONE] * 2


@pytest.mark.parametrize(("says_so", "most"), [(True, 6), (False, 30)])
def test_a_part_that_kills_its_workers_is_set_aside(journal, says_so, most):
    """Sooner where workers say that ComfyUI has ended: others may have been killed by whoever needs their machine."""
    executor = FakeExecutor(journal, 1)
    with Driver(journal, executor) as driver:
        driver.take(cuts([job("killer", ["x"]), job("other", ["y"])]))
        driver.start_worker(0)
        killer = cut_job(job("killer", ["x"]).graph, INFOS).parts[0].key
        for _ in range(500):
            driver.step()
            for link in executor.links:
                if link.task and link.task["key"] == killer and not link.ended:
                    if says_so:
                        link.say({"event": "failed", "key": killer, "problem": "x", "log": "", "died": True})
                    link.ended = True
        states = {record.name: record.state for record in driver.records.values()}
    assert executor.given.count(killer) == most
    assert states == {"killer": ASIDE, "other": DONE}


def test_a_worker_that_ends_after_a_failure_is_given_nothing_more(journal):
    """Several ComfyUIs are out of step after one: what it would be given next has no part in its end."""
    jobs = [job(f"bad{number}", [f"x{number}"]) for number in range(4)] + [job("good", ["z"])]
    executor = FakeExecutor(journal, 1)
    executor.fails |= {cut_job(one.graph, INFOS).parts[0].key: "no." for one in jobs[:4]}
    executor.ends = True
    with Driver(journal, executor, Rules(deaths=1, kills=1)) as driver:
        driver.take(cuts(jobs))
        work(driver)
        states = [record.state for record in driver.records.values()]
    assert states == [ASIDE] * 4 + [DONE] and len(executor.links) == 1 + 4 * 3


@pytest.mark.parametrize("killed", [0, 1, 5])
def test_a_first_worker_that_is_killed_while_it_starts_is_replaced(journal, killed):
    class Killed(FakeExecutor):
        def start(self, name, slot):
            link = super().start(name, slot)
            link._said[0]["infos"] = "nodes.json"
            link.dead = len(self.links) <= killed
            return link

    executor = Killed(journal)
    with Driver(journal, executor) as driver:
        assert driver.wait_for_infos().name == "nodes.json"
        driver.take(cuts(stories(1)))
        work(driver)
    assert len(executor.links) == killed + 2


@pytest.mark.parametrize(("says_so", "message"), [(True, "it has no main"), (False, "workers in a row")])
def test_a_first_worker_that_never_starts_ends_the_run(journal, says_so, message):
    class Broken(FakeExecutor):
        def start(self, name, slot):
            link = super().start(name, slot)
            link._said, link.ended = [{"event": "broken", "problem": "it has no main."}] * says_so, True
            return link

    with Driver(journal, Broken(journal)) as driver, pytest.raises(JobError, match=message):
        driver.wait_for_infos()


@pytest.mark.parametrize(("says_so", "most"), [(True, 6), (False, 20)])
def test_workers_that_never_start_end_the_run(journal, says_so, most):
    class Broken(FakeExecutor):
        def start(self, name, slot):
            link = super().start(name, slot)
            link._said, link.ended = [{"event": "broken", "problem": "x"}] * says_so, True
            return link

    executor = Broken(journal)
    with Driver(journal, executor) as driver:
        driver.take(cuts(stories(1)))
        with pytest.raises(JobError, match="workers in a row"):
            work(driver)
    assert most <= len(executor.links) <= most + 1


def test_parts_go_where_their_model_is_warm(journal):
    jobs = [job(f"{model}{number}", [f"x{number}"]) for number in range(6) for model in "ab"]
    for one in jobs:
        if one.name[0] == "b":
            one.graph["2"]["inputs"]["which"] = "another"
    executor = FakeExecutor(journal)
    with Driver(journal, executor) as driver:
        driver.take(cuts(jobs))
        work(driver)
        models = {key: node.model for key, node in driver.tree.nodes.items()}
    loads = [len({models[key] for key in link.given}) for link in executor.links]
    assert sum(loads) <= 3


def test_two_drivers_do_not_share_a_folder(journal):
    with (
        only_driver(journal),
        pytest.raises(JobError, match="another memflow render"),
        only_driver(journal, wait_s=0.1),
    ):
        pass


def test_a_job_keeps_its_own_state_and_its_tags(journal):
    one = job("kept", ["x", "y"])
    one.graph["9"] = {
        "class_type": "MemFlowSaveState",
        "inputs": {"state": ["5", 1], "filename_prefix": "s", "content": "compact"},
    }
    render(journal, [one])
    record = journal.load(one.id)
    assert [name.rpartition(".")[2] for name in record.files] == ["mp4", "safetensors"]
    assert (journal.out / record.files[1]).read_text() == "".join(record.parts)


@pytest.mark.parametrize("prompts", [["a"], ["a", "b"], ["a", "b", "c", "d"]])
def test_parts_end_where_prompts_change(prompts):
    cut = cut_job(job("x", prompts).graph, INFOS)
    # 1.5 s are two chunks; the first has three frames less, so a change waits for the chunk after
    assert [part.chunks[1] for part in cut.parts] == [
        *[part.chunks[0] for part in cut.parts[1:]],
        cut.parts[-1].chunks[1],
    ]
    assert [part.prompt for part in cut.parts] == prompts


def test_long_segments_are_cut_every_so_often():
    cut = cut_job(job("x", ["a"] * 1).graph | {}, INFOS, every_s=0.8)
    assert [part.chunks for part in cut.parts] == [(0, 1), (1, 2), (2, 3)]


def test_what_needs_the_whole_film_is_made_in_one_piece():
    one = job("x", ["a", "b"])
    one.graph["9"] = {"class_type": "Upscale", "inputs": {"video": ["5", 0]}}
    cut = cut_job(one.graph, INFOS | {"Upscale": {"output_node": True}})
    assert len(cut.parts) == 1 and "Upscale" in cut.whole
    one.graph["9"] = {"class_type": "PreviewAny", "inputs": {"source": ["5", 2]}}
    cut = cut_job(one.graph, INFOS)
    assert len(cut.parts) == 2 and cut.left == ("9",)


@pytest.mark.parametrize(("value", "parts"), [(True, 1), (["7", 0], 1), (False, 2), (None, 2)])
def test_a_memory_that_looks_ahead_needs_all_prompts_at_once(value, parts):
    one = job("x", ["a", "b"])
    asked = {} if value is None else {"look_ahead": value}
    one.graph["8"] = {"class_type": "MemFlowMemory", "inputs": {"preset": "Story", **asked}}
    one.graph["7"] = {"class_type": "PrimitiveBoolean", "inputs": {"value": True}}
    one.graph["5"]["inputs"]["memory"] = ["8", 0]
    cut = cut_job(one.graph, INFOS | {"MemFlowMemory": {}, "PrimitiveBoolean": {}})
    assert len(cut.parts) == parts and ("looks ahead" in cut.whole) == (parts == 1)


def test_shares_of_the_length_stand_where_they_stood():
    one = job("x", ["a"])
    one.graph["3"]["inputs"]["prompts"] = "a | b | c"
    one.graph["5"]["inputs"]["length"] = 12 * 9 - 3
    cut = cut_job(one.graph, INFOS)
    assert [part.chunks for part in cut.parts] == [(0, 3), (3, 6), (6, 9)]
    assert cut.parts[0].graph["3"]["inputs"]["prompts"] == "length: 3c\n0f: a".replace("0f", "0")


def test_a_tree_wants_first_what_most_wait_for():
    jobs = [job("alone", ["z"]), *stories(6)]
    tree = Tree(cuts(jobs))
    wanted = tree.wanted(set(), set(), {one.id for one in jobs})
    assert [len(tree.nodes[key].jobs) for key in wanted] == [2, 2, 2, 1] and tree.shared == 6
