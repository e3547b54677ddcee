"""A control branch for the tiny story model: marks that lead its characters, and its training."""

from .marks import MarkLatents, control_context
from .trainer import ControlSettings, ControlTrainer

__all__ = ["ControlSettings", "ControlTrainer", "MarkLatents", "control_context"]
