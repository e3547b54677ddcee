"""Two hundred malformed stories and options: one clear sentence each, before anything is made."""

from __future__ import annotations

import re

import pytest

from memflow_core.render import JobError, cut_job, make_jobs, read_story
from memflow_core.render.command import arguments, check_numbers
from memflow_core.render.jobs import parse_seeds, parse_set
from tests.cases.job_files import ROOT, cases, graph

CASES = cases()
# a name from the program's own insides says nothing to its user
INSIDES = re.compile(r"Traceback|KeyError|TypeError|ValueError|NoneType|object at 0x|/\w+/\w+\.py")


def outcome(case, folder, infos) -> None:
    """What the command does before the first part is made."""
    story = ROOT / "workflows" / "tiny_story.json"
    if case.file is not None:
        story = folder / (case.file[0] or "gone.json")
        if case.file[0]:
            story.write_bytes(case.file[1])
    given = arguments().parse_args([str(story), *(f"{a}={b}" for a, b in zip(*[iter(case.options)] * 2, strict=True))])
    check_numbers(given)
    seeds = parse_seeds(given.seeds) if case.options[:1] == ("--seeds",) else []
    settings = [parse_set(text) for text in given.set]
    template = read_story(ROOT / "workflows" / "tiny_story.json")
    for job in make_jobs([read_story(story)], infos, template=template, seeds=seeds, settings=settings):
        cut_job(job.graph, infos)


TOLD = {
    "length: 3s\n0s: a\n9s: b": "later prompts left out (1)",
    "length: 4s\npin: 100s\n0s: a": "later pins left out (1)",
    "Here is your story!\n0s: a\n4s: b": "1 line left out (1)",
}


@pytest.mark.parametrize("text", TOLD)
def test_what_a_schedule_leaves_out_is_told(text, tmp_path, all_infos):
    (tmp_path / "story.txt").write_text(text)
    template = read_story(ROOT / "workflows" / "tiny_story.json")
    (job,) = make_jobs([read_story(tmp_path / "story.txt")], all_infos, template=template)
    told = (*job.notes, *cut_job(job.graph, all_infos).told)
    assert [TOLD[text] in sentence for sentence in told] == [True]


def test_a_node_that_is_shorter_than_its_schedule_is_told(all_infos):
    short = graph()
    short["5"]["inputs"]["length"] = 21
    assert len(cut_job(short, all_infos).parts) == 1
    assert any("later prompts left out (1)" in told for told in cut_job(short, all_infos).told)


def test_there_are_two_hundred():
    assert len(CASES) >= 200


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_malformed_job_is_one_clear_sentence(case, tmp_path, all_infos):
    with pytest.raises(JobError) as caught:
        outcome(case, tmp_path, all_infos)
    message = str(caught.value)
    assert case.word in message
    assert "\n" not in message and 20 < len(message) < 500 and message.endswith((".", "..."))
    assert not INSIDES.search(message)


def test_the_graph_that_faults_are_made_from_is_good(all_infos):
    assert len(cut_job(graph(), all_infos).parts) == 2
