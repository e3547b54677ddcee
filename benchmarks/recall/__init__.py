"""Recall benchmark: how often memory brings a character back as itself, policy by policy."""

from .evaluate import SegmentScores, evaluate_segment
from .far import curves, distant, measured
from .layer_meter import LayerMeter
from .plot import Curve, line_plot
from .resumed import Rows
from .run import BATCH, PrefilledReturns, summary
from .stories import PLANS, cases
from .stream import Models, StoryNoise, StoryStreamer, policies
from .table import headline
from .tales import measure_returns, share_error, summary_of_returns, tales, with_twins

__all__ = [
    "BATCH",
    "PLANS",
    "Curve",
    "LayerMeter",
    "Models",
    "PrefilledReturns",
    "Rows",
    "SegmentScores",
    "StoryNoise",
    "StoryStreamer",
    "cases",
    "curves",
    "distant",
    "evaluate_segment",
    "headline",
    "line_plot",
    "measure_returns",
    "measured",
    "policies",
    "share_error",
    "summary",
    "summary_of_returns",
    "tales",
    "with_twins",
]
