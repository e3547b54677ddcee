"""What travels along this pack's links. Every one is a value: no node changes what it was given."""

from __future__ import annotations

from comfy_api.latest import io

ScheduleType = io.Custom("MEMFLOW_SCHEDULE")
MemoryType = io.Custom("MEMFLOW_MEMORY")  # a MemoryConfig
StateType = io.Custom("MEMFLOW_STATE")

CATEGORY = "MemFlow"
