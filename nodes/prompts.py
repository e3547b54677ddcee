"""MemFlow Prompt Schedule and MemFlow Prompt Segment: prompts over time, as one text or node by node."""

from __future__ import annotations

from dataclasses import replace

from comfy_api.latest import io

from ..memflow_core.config import BLEND_PATHS, SWITCHES
from ..memflow_core.schedule import Blend, Segment, Time, read_story
from . import host
from .io_types import CATEGORY, ScheduleType
from .run import EncodedPrompts, add_segment, segment_prompt

UNITS = {"seconds": "s", "frames": "frames", "chunks": "chunks"}
EXAMPLE = "0s: a robot walks across the meadow\n4s: the beach lies empty\n8s: the robot returns to the meadow"


class MemFlowPromptSchedule(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowPromptSchedule",
            display_name="MemFlow Prompt Schedule",
            category=CATEGORY,
            description="Prompts over time, written as text: one line for each change of prompt.",
            search_aliases=["prompt travel", "batch prompt schedule", "timeline", "multi prompt", "long video"],
            inputs=[
                io.Clip.Input(
                    "clip",
                    tooltip="The text encoder that belongs to the model: for Wan 2.1 it is umt5-xxl, by Load CLIP with "
                    "type wan. Prompts are read one by one, each different one once.",
                ),
                io.String.Input(
                    "prompts",
                    multiline=True,
                    dynamic_prompts=True,
                    default=EXAMPLE,
                    tooltip="One line a prompt, which holds until the next: '10s: ...', '0:10: ...', or a bare "
                    "number for a video frame ('160: ...'). It starts with the next chunk, at most 0.75 s later at "
                    "16 fps. [cut], [soft] or [blend 6] after the time changes how the switch is made, [fresh] "
                    "begins a new story, [lora name 0.8] gives the model a LoRA for this prompt. 'a | b | c' spreads "
                    "prompts evenly. Ranges, answers of chat programs, MemFlow JSONL, Scope timelines, "
                    "AnimateDiff-style schedules, SRT and CSV can be pasted in. The timeline below edits this text.",
                ),
                io.String.Input(
                    "global_prompt",
                    multiline=True,
                    default="",
                    advanced=True,
                    tooltip="Put before every prompt: the setting and the looks that all of them share. Empty "
                    "(default): the line 'global: ...' of the prompts, if there is one, serves instead.",
                ),
                io.Int.Input(
                    "story",
                    default=1,
                    min=1,
                    max=1_000_000,
                    optional=True,
                    advanced=True,
                    tooltip="Only for a MemFlow JSONL with several stories, one a line: which of them, from 1 "
                    "(default).",
                ),
            ],
            outputs=[
                ScheduleType.Output(
                    display_name="schedule", tooltip="Prompts over time, already encoded: connect to a MemFlow sampler."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, prompts: str | None = None, story: int | None = 1) -> bool | str:
        # None while a value comes over a link
        if prompts is not None and story is not None:
            try:
                host.check_loras(read_story(prompts, story))
            except ValueError as error:
                return host.refused(str(error))
        return True

    @classmethod
    def execute(cls, clip, prompts: str, global_prompt: str = "", story: int = 1) -> io.NodeOutput:
        schedule = read_story(prompts, story)
        host.check_loras(schedule)
        for told in schedule.notes:
            host.log(f"MemFlow Prompt Schedule: {told}.")
        if global_prompt.strip():
            schedule = replace(schedule, global_prompt=global_prompt.strip())
        spoken = host.with_loras(
            host.encode(clip, schedule.full_prompts()), [segment.loras for segment in schedule.segments]
        )
        return io.NodeOutput(EncodedPrompts.of(schedule, spoken))


def _start_inputs() -> list[io.Input]:
    return [
        io.Float.Input(
            "start",
            default=0.0,
            min=0.0,
            max=1_000_000.0,
            step=0.25,
            round=0.001,
            tooltip="When the prompt starts, in seconds unless unit says otherwise, counted from the start of "
            "the story. 0 (default) is for the first segment; each later one starts after the one before. It "
            "takes effect at the next chunk (every 0.75 s at 16 fps).",
        ),
        io.Combo.Input(
            "unit",
            options=list(UNITS),
            default="seconds",
            advanced=True,
            tooltip="What start counts: seconds (default), frames of the video, or chunks, which have 12 video "
            "frames with most models (0.75 s at 16 fps).",
        ),
        io.Combo.Input(
            "switch",
            options=list(SWITCHES),
            default="recache",
            advanced=True,
            tooltip="How the prompt takes over. recache (default): the last seconds are read anew under it, "
            "MemFlow's way. soft: only the text changes. cut: a new shot, which remembers the bank alone. "
            "blend: the text turns into the new prompt bit by bit, for changes without a visible moment. jump: a new "
            "shot for models of several shots (LongLive 2): time jumps, nothing is forgotten. fresh: a new "
            "story, which remembers nothing. It means nothing for the first segment.",
        ),
    ]


def _blend_inputs() -> list[io.Input]:
    return [
        io.Float.Input(
            "blend",
            default=3.0,
            min=0.05,
            max=600.0,
            step=0.25,
            round=0.001,
            optional=True,
            advanced=True,
            tooltip="Only for the switch 'blend': seconds until the new prompt speaks alone, 3 (default), "
            "rounded up to whole chunks (0.75 s each at 16 fps). Longer is gentler; if the next segment "
            "starts sooner, it goes on from the text reached.",
        ),
        io.Combo.Input(
            "blend_path",
            options=list(BLEND_PATHS),
            default="linear",
            optional=True,
            advanced=True,
            tooltip="Only for the switch 'blend': how the text embedding travels. linear (default): the "
            "straight way, weaker halfway than either prompt. spherical: turns each token and keeps its "
            "strength, for texts that differ much.",
        ),
    ]


class MemFlowPromptSegment(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowPromptSegment",
            display_name="MemFlow Prompt Segment",
            category=CATEGORY,
            description="One prompt of a story and when it starts. Chain segments in the order of the story.",
            search_aliases=["prompt travel", "prompt schedule", "timeline", "multi prompt", "scene"],
            inputs=[
                io.Conditioning.Input(
                    "conditioning",
                    tooltip="What happens from this time on: one prompt, from CLIP Text Encode. Name the setting and "
                    "the looks in every one; nothing is put before it. LoRA hooks on it hold for this segment.",
                ),
                *_start_inputs(),
                ScheduleType.Input(
                    "schedule",
                    optional=True,
                    tooltip="The segments before this one, from another MemFlow Prompt Segment. Leave it open on the "
                    "first.",
                ),
                *_blend_inputs(),
            ],
            outputs=[
                ScheduleType.Output(
                    display_name="schedule",
                    tooltip="This segment behind those before it: connect to the next one, or to a MemFlow sampler.",
                )
            ],
            # the words of a prompt stand in the graph alone: an embedding does not tell them
            hidden=[io.Hidden.dynprompt, io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        conditioning,
        start: float,
        unit: str,
        switch: str,
        schedule: EncodedPrompts | None = None,
        blend: float = 3.0,
        blend_path: str = "linear",
    ) -> io.NodeOutput:
        number = 1 if schedule is None else len(schedule.embeddings) + 1
        graph = cls.hidden
        words = host.words_of(graph and graph.dynprompt, graph and graph.unique_id, "conditioning")
        blending = Blend(Time(blend, "s"), blend_path) if switch == "blend" else None
        start_at = Time(start, UNITS[unit])
        segment = Segment(start_at, segment_prompt(words, number), switch, blend=blending)
        return io.NodeOutput(add_segment(schedule, segment, host.read_conditioning(conditioning)))
