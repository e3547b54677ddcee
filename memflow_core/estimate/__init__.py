"""Estimate a run before it starts: passes through the model, bytes on the device and in RAM."""

from .control import ControlWork
from .footprint import Decode, Footprint
from .stream import GB, Estimate, Switch, estimate

__all__ = ["GB", "ControlWork", "Decode", "Estimate", "Footprint", "Switch", "estimate"]
