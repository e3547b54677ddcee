"""Malformed inputs from a seed, to try that each is refused in one sentence or honoured."""

from .bodies import bodies, names
from .case import Case
from .media import films, sounds
from .states import saved_streams, small_backbone, states
from .weights import weights

KINDS = {
    "states": states,
    "weights": weights,
    "films": films,
    "sounds": sounds,
    "bodies": bodies,
    "names": names,
}

__all__ = ["KINDS", "Case", "saved_streams", "small_backbone"]
