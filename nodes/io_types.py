"""What travels along this pack's links. Every one is a value: no node changes what it was given."""

from __future__ import annotations

from comfy_api.latest import io

ScheduleType = io.Custom("MEMFLOW_SCHEDULE")  # a run.EncodedPrompts
MemoryType = io.Custom("MEMFLOW_MEMORY")  # a core MemoryConfig or OpenMemory
ControlType = io.Custom("MEMFLOW_CONTROL")  # a run.Controls
StateType = io.Custom("MEMFLOW_STATE")  # a run.StoryState

CATEGORY = "MemFlow"
