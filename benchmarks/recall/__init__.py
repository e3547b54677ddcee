"""Recall benchmark: how often memory brings a character back as itself, policy by policy."""

from .evaluate import SegmentScores, evaluate_segment
from .layer_meter import LayerMeter
from .run import BATCH, PrefilledReturns, summary
from .stories import PLANS, cases
from .stream import Models, StoryStreamer, policies
from .tales import measure_returns, summary_of_returns, tales

__all__ = [
    "BATCH",
    "PLANS",
    "LayerMeter",
    "Models",
    "PrefilledReturns",
    "SegmentScores",
    "StoryStreamer",
    "cases",
    "evaluate_segment",
    "measure_returns",
    "policies",
    "summary",
    "summary_of_returns",
    "tales",
]
