"""MemFlow Stream to Video: a story as a file, made chunk by chunk in constant memory."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io, ui

from ..memflow_core.video import VideoWriter, choose_codec
from . import host
from .inputs import (
    MODEL,
    REPORT,
    SCHEDULE,
    STATE,
    THIS_VIDEO,
    audio_inputs,
    check_steps,
    expert_inputs,
    live_input,
    played_output,
    sound_of,
    story_inputs,
    story_sockets,
)
from .io_types import CATEGORY, ScheduleType, StateType
from .run import Request, Run, StoryState, VideoOutput, open_run, prepare

# what the widget says -> file ending and codec
FORMATS = {
    "mp4 (h264)": ("mp4", "h264"),
    "mp4 (h265)": ("mp4", "h265"),
    "mp4 (av1)": ("mp4", "av1"),
    "webm (vp9)": ("webm", "vp9"),
    "webm (av1)": ("webm", "av1"),
    "mkv (h264)": ("mkv", "h264"),
}
# tag of the file that holds what was played, as a schedule
PLAYED_TAG = "memflow_played"
# what the widget says -> how much coarser than the codec's usual setting
QUALITIES = {"high": 0, "medium": 6, "small file": 12}


class MemFlowStreamToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MemFlowStreamToVideo",
            display_name="MemFlow Stream to Video",
            category=CATEGORY,
            description="Samples a scheduled story, decodes it and writes it to a video file, chunk by chunk: memory "
            "use does not grow with the length, and what is written stays when you cancel.",
            search_aliases=["long video", "streaming", "save video", "infinite video", "self forcing", "longlive"],
            inputs=[
                io.Model.Input("model", tooltip=MODEL),
                io.Vae.Input(
                    "vae",
                    tooltip="The Wan 2.1 VAE, by Load VAE. It decodes each chunk as soon as it is made, so that "
                    "pictures never pile up in memory. The light decoder lighttaew2_1 is faster, its pictures softer.",
                ),
                ScheduleType.Input("schedule", tooltip=SCHEDULE),
                *story_inputs(open_end=True),
                io.String.Input(
                    "filename_prefix",
                    default="video/MemFlow",
                    tooltip="Name of the file, in ComfyUI's output folder, video/MemFlow (default). Subfolders and "
                    "%date:yyyy-MM-dd% work. A number is added; no file is ever replaced.",
                ),
                io.Combo.Input(
                    "format",
                    options=list(FORMATS),
                    default="mp4 (h264)",
                    tooltip="Kind of file, and its codec. mp4 (h264) (default) plays everywhere; h265, vp9 and av1 "
                    "make smaller files and take longer to write. The workflow is kept in all of them.",
                ),
                io.Combo.Input(
                    "quality",
                    options=list(QUALITIES),
                    default="high",
                    advanced=True,
                    tooltip="How finely the file is written. high (default) can hardly be told from the decoded "
                    "pictures; medium and small file are for sharing.",
                ),
                io.Boolean.Input(
                    "save_output",
                    default=True,
                    advanced=True,
                    tooltip="on (default): the file stays in ComfyUI's output folder. off: it goes to the temp folder, "
                    "which ComfyUI empties when it starts; for trying out.",
                ),
                *expert_inputs(),
                *story_sockets(),
                live_input(),
                *audio_inputs(),
            ],
            outputs=[
                io.Video.Output(
                    display_name="video",
                    tooltip="The file, which stays on disk and is never held in memory: connect to Save Video, Get "
                    "Video Components or MemFlow Memory View.",
                ),
                StateType.Output(display_name="state", tooltip=STATE),
                io.String.Output(display_name="report", tooltip=REPORT),
                played_output(),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, steps=None) -> bool | str:
        return check_steps(steps)

    @classmethod
    def execute(
        cls,
        model,
        vae,
        schedule,
        seed,
        width,
        height,
        length,
        fps,
        filename_prefix,
        format,
        quality,
        save_output,
        steps,
        shift,
        memory=None,
        state=None,
        clip=None,
        audio=None,
        audio_start=THIS_VIDEO,
    ) -> io.NodeOutput:
        request = Request(model, schedule, seed, width, height, length, fps, steps, shift, memory, state, clip=clip)
        plan = prepare(request, least_frames=0)
        host.check_stream_vae(vae, model)
        ending, codec = FORMATS[format]
        crf = choose_codec(f".{ending}", codec)[1].crf + QUALITIES[quality]
        file = host.new_output_file(filename_prefix, ending, width, height, save_output)
        metadata = host.workflow_metadata(cls.hidden.prompt, cls.hidden.extra_pnginfo)
        sound = sound_of(audio, audio_start, plan.grid.start_s(request.done))
        writer = VideoWriter(file.path, fps, codec=codec, crf=crf, metadata=metadata, sound=sound, hardware=True)
        with open_run(request, plan, vae) as (told, progress):
            final, made = write_story(told, progress, writer, vae)
        saved = ui.SavedResult(file.path.name, file.subfolder, io.FolderType(file.folder))
        return io.NodeOutput(
            host.video_from_file(file.path),
            final,
            told.report(file=file.path.name, video_frames=writer.frames, **_decoder(vae), **made),
            told.played(),
            ui={**ui.PreviewVideo([saved]).as_dict(), **told.ui()},
        )


def write_story(
    told: Run, progress: host.Progress, writer: VideoWriter, vae, overlap: host.Overlap | None = None
) -> tuple[StoryState, dict]:
    """Decode and write the chunks while others are sampled; where the story stands then, and how its file was made.

    Whatever stops it, what was written stays and plays.

    overlap  what may run beside the sampling; None: what this machine is fit for.
    """
    if overlap is None:
        overlap = host.overlap_of(told.request.model.load_device, vae.device)
        if overlap.decode == host.IN_STREAM and not told.footprint.decode.beside:
            overlap = host.Overlap(None, True, "there is not room enough for a pass and a decode at once.")
    if overlap.decode is None:
        host.inform(f"chunks are decoded before the next is sampled: {overlap.why}")
    try:
        with writer, VideoOutput(told, progress, writer, vae, overlap, lambda: _tags(told)) as film:
            for chunk in told:
                film.add(chunk)
            final = film.finish()
    except BaseException:
        _tell_what_is_left(writer)
        raise
    return final, film.report()


def _decoder(vae) -> dict[str, str]:
    return {"decoder": host.LIGHT_DECODER} if host.is_light(vae) else {}


def _tags(told: Run) -> dict[str, str]:
    return host.text_tags({PLAYED_TAG: told.played()})


def _tell_what_is_left(writer: VideoWriter) -> None:
    left: Path = writer.path if writer.path.exists() else writer.unfinished
    if left.exists():
        host.inform(f"stopped; the first {writer.frames} frames are in {left}.")
