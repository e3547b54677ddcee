"""Recall benchmark: how often memory brings a character back as itself, policy by policy."""

from .attempts import first_tries, scored_tries
from .evaluate import SegmentScores, evaluate_segment
from .far import curves, distant, measured
from .layer_meter import LayerMeter
from .plot import Curve, line_plot
from .resumed import Rows
from .run import BATCH, PrefilledReturns, summary
from .stories import PLANS, cases
from .story_cost import cost_of_recall
from .stream import GeneratedStories, Models, StoryNoise, StoryStreamer, policies, truth_latents
from .table import headline
from .tales import measure_returns, share_error, summary_of_returns, tales, with_twins

__all__ = [
    "BATCH",
    "PLANS",
    "Curve",
    "GeneratedStories",
    "LayerMeter",
    "Models",
    "PrefilledReturns",
    "Rows",
    "SegmentScores",
    "StoryNoise",
    "StoryStreamer",
    "cases",
    "cost_of_recall",
    "curves",
    "distant",
    "evaluate_segment",
    "first_tries",
    "headline",
    "line_plot",
    "measure_returns",
    "measured",
    "policies",
    "scored_tries",
    "share_error",
    "summary",
    "summary_of_returns",
    "tales",
    "truth_latents",
    "with_twins",
]
