"""The switch `fresh` in the nodes: what is made behind it depends on nothing before it, and what is told."""

from __future__ import annotations

import json

import pytest
import torch

AFTER = "\n1.5s [fresh]: an empty beach\n2.25s: the robot returns to the meadow"
CHUNK = 3


def latents(tiny, text: str, **changes):
    return tiny.sample(schedule=tiny.schedule(text), **changes)[0]


@pytest.mark.parametrize("switch", ["fresh", "cut"])
def test_what_comes_after_it_is_the_same_whatever_came_before(tiny, switch):
    texts = [
        f"0s: {words}{AFTER}".replace("fresh", switch)
        for words in ("a robot walks in the meadow", "a cat stands in the city")
    ]
    one, other = (latents(tiny, text, memory=tiny.memory()) for text in texts)
    # the fresh prompt begins with the fourth chunk
    first = 3 * CHUNK
    assert not torch.equal(one[:, :, :first], other[:, :, :first])
    assert torch.equal(one[:, :, first:], other[:, :, first:]) == (switch == "fresh")


def test_a_segment_node_has_it_and_the_report_says_it(tiny):
    node = tiny.nodes.prompts.MemFlowPromptSegment
    words = tiny.clip.encode_from_tokens_scheduled(tiny.clip.tokenize("a robot walks in the meadow"))
    schedule = node.execute(words, 0.0, "seconds", "recache", None).result[0]
    schedule = node.execute(words, 1.5, "seconds", "fresh", schedule).result[0]
    made, state, report = tiny.sample(schedule=schedule)
    report = json.loads(report)
    assert [one["switch"] for one in report["plan"]["segments"]] == ["recache", "fresh"]
    assert "[fresh]" in report["played"] and state.stream.meta["began"] == 3 * CHUNK
    assert torch.equal(
        made, latents(tiny, "0s: a robot walks in the meadow\n1.5s [fresh]: a robot walks in the meadow")
    )


def test_a_state_behind_it_goes_on(tiny):
    text = "0s: a robot walks in the meadow" + AFTER
    whole = latents(tiny, text)
    head = tiny.sample(schedule=tiny.schedule(text), length=33)
    rest = latents(tiny, text, length=12, state=head[1])
    assert torch.equal(whole[:, :, -CHUNK:], rest)


def test_forgotten_pins_are_told_and_those_asked_for_are_refused(tiny):
    pinned = "pin: 0.3s\npin hero: 0.3s\n0s: a robot walks in the meadow" + AFTER
    report = json.loads(tiny.sample(schedule=tiny.schedule(pinned), memory=tiny.memory(), length=57)[2])
    assert report["plan"]["notes"] == ["[fresh] forgets the pins without a name before it (1)"]
    with pytest.raises(ValueError, match="forgets all that was made before it: pin a moment after it, or write .cut."):
        latents(tiny, pinned.replace("2.25s:", "2.25s [hero]:"), memory=tiny.memory(), length=57)


def test_a_jump_with_relative_positions_is_told(tiny):
    text = ("0s: a robot walks in the meadow" + AFTER).replace("fresh", "jump")
    told = [
        json.loads(tiny.sample(schedule=tiny.schedule(text), memory=tiny.memory(positions=positions))[2])["told"]
        for positions in ("relative", "absolute")
    ]
    sentence = "Positions are relative here, so a prompt that takes over by jump changes the text alone."
    assert [sentence in one for one in told] == [True, False]


def test_a_fresh_prompt_lets_absolute_positions_reach_further(tiny):
    place = tiny.nodes.run.request.place
    request = tiny.nodes.run.request.PlanRequest
    memory = tiny.memory(positions="absolute")

    def planned(switch: str):
        text = f"0s: a\n200s [{switch}]: b"
        prompts = tiny.schedule.__self__.nodes.prompts.read_story(text)
        return request(prompts=prompts, width=64, height=64, length=16 * 400, fps=16.0, steps="4", memory=memory)

    assert place(planned("fresh")).chunks == 534 and planned("fresh").positions == "absolute"
    with pytest.raises(ValueError, match="absolute positions reach 1024"):
        place(planned("cut"))
