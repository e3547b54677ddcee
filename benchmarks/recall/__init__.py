"""Recall benchmark: how often memory brings a character back as itself, policy by policy."""

from .evaluate import SegmentScores, evaluate_segment
from .run import BATCH, PrefilledReturns, summary
from .stories import PLANS, cases
from .stream import Models, StoryStreamer, policies

__all__ = [
    "BATCH",
    "PLANS",
    "Models",
    "PrefilledReturns",
    "SegmentScores",
    "StoryStreamer",
    "cases",
    "evaluate_segment",
    "policies",
    "summary",
]
