"""One stream on several processes: heads shared out for self-attention, tokens for all else."""

from .backbone import ParallelBackbone
from .group import Group, GroupLost
from .job import StreamJob
from .join import join_group
from .processes import ParallelError, run
from .shares import shares_of

__all__ = ["Group", "GroupLost", "ParallelBackbone", "ParallelError", "StreamJob", "join_group", "run", "shares_of"]
