"""Heads and tokens are shared out whole and evenly, whatever their numbers."""

from hypothesis import given
from hypothesis import strategies as st

from memflow_core.parallel import shares_of


@given(st.integers(0, 5000), st.integers(1, 12), st.booleans())
def test_shares_join_to_the_whole_and_differ_by_one_at_most(total, processes, larger_last):
    shares = shares_of(total, processes, larger_last=larger_last)
    assert [n for share in shares for n in range(share.start, share.stop)] == list(range(total))
    sizes = [share.stop - share.start for share in shares]
    assert len(sizes) == processes and max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=not larger_last)


@given(st.integers(1, 40), st.integers(1, 2000), st.integers(1, 12))
def test_no_process_has_more_of_both_heads_and_tokens_unless_most_have(heads, tokens, processes):
    """What is left over of heads goes to the first processes, of tokens to the last."""
    more = [
        [share.stop - share.start > total // processes for share in shares_of(total, processes, larger_last=last)]
        for total, last in ((heads, False), (tokens, True))
    ]
    both = sum(a and b for a, b in zip(*more, strict=True))
    assert both == max(0, heads % processes + tokens % processes - processes)
