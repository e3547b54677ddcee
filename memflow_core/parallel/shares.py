"""Split heads or tokens over processes, as evenly as whole numbers allow."""

from __future__ import annotations


def shares_of(total: int, processes: int, *, larger_last: bool = False) -> list[slice]:
    """Split `total` things into one contiguous share for each process, in the order of ranks.

    larger_last  where it does not come out even, the last processes have one more, not the first: so that none has
                 more of both heads and tokens.

    Where there are more processes than things, some have none.
    """
    least, more = divmod(total, processes)
    first_larger = processes - more if larger_last else 0
    sizes = [least + (first_larger <= rank < first_larger + more) for rank in range(processes)]
    starts = [sum(sizes[:rank]) for rank in range(processes)]
    return [slice(start, start + size) for start, size in zip(starts, sizes, strict=True)]


def size_of(share: slice) -> int:
    """How many things are in a share."""
    return share.stop - share.start
