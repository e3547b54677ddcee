"""MemFlow Stream to Video: write a story to a file chunk by chunk, in constant memory."""

from __future__ import annotations

from comfy_api.latest import io, ui

from . import host
from .inputs import (
    MODEL,
    REPORT,
    SCHEDULE,
    STATE,
    STATE_OUTPUT,
    THE_STORY,
    THIS_VIDEO,
    audio_inputs,
    control_input,
    expert_inputs,
    keep_input,
    live_input,
    played_output,
    story_inputs,
    story_sockets,
)
from .io_types import CATEGORY, ScheduleType, StateType
from .run import (
    FORMATS,
    QUALITIES,
    KeptStory,
    Request,
    known_by,
    open_run,
    prepare,
    sound_of,
    video_writer,
    write_video,
)


def _vae_input() -> io.Vae.Input:
    return io.Vae.Input(
        "vae",
        tooltip="The Wan 2.1 VAE (Wan 2.2's for 5B models), by Load VAE. It decodes each chunk as soon as it is made, "
        "so that pictures never pile up in memory. The light decoder lighttaew2_1 is faster, its pictures softer.",
    )


def _file_inputs() -> list[io.Input]:
    return [
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
            "make smaller files and take longer to write. The workflow is kept in all of them; ComfyUI's page reads "
            "none from mkv, so there it lies beside the file too, as .json to drop on the canvas.",
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
    ]


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
                _vae_input(),
                ScheduleType.Input("schedule", tooltip=SCHEDULE),
                *story_inputs(open_end=True),
                *_file_inputs(),
                *expert_inputs(),
                *story_sockets(),
                live_input(),
                *audio_inputs(),
                keep_input(),
                control_input(),
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
    def validate_inputs(cls, schedule=None) -> bool | str:  # noqa: ARG003
        # the name is where ComfyUI shows the fault
        return host.validated()

    @classmethod
    def fingerprint_inputs(cls, **_) -> str:
        # a state is captured where something is linked to it
        return host.output_token(STATE_OUTPUT)

    @classmethod
    def execute(
        cls,
        model,
        vae,
        schedule,
        *,
        filename_prefix,
        format,
        quality,
        save_output,
        audio=None,
        audio_start=THIS_VIDEO,
        keep_moments_gb=-1.0,
        **settings,
    ) -> io.NodeOutput:
        """settings: the other fields of Request."""
        request = Request(model, schedule, **settings)
        plan = prepare(request, least_frames=0)
        host.check_stream_vae(vae, model)
        ending, codec = FORMATS[format]
        file = host.new_output_file(
            filename_prefix, ending, width=request.width, height=request.height, keep=save_output
        )
        tags = host.workflow_metadata(cls.hidden.prompt, cls.hidden.extra_pnginfo)
        writer = video_writer(
            file.path,
            request.fps,
            codec=codec,
            crf_above_usual=QUALITIES[quality],
            metadata=tags,
            sound=sound_of(audio, plan.grid.start_s(request.done) if audio_start == THE_STORY else 0),
        )
        with KeptStory(request, plan, keep_moments_gb, vae, known_by(cls.hidden, request)) as kept:
            request = kept.take_up(lambda: writer.encoding(request.height, request.width))
            with open_run(request, plan, vae, kept.sentences(), kept.before) as run:
                run.show_film(file, writer)
                beside = host.save_workflow_beside(file.path, tags)
                wanted = host.is_output_read(STATE_OUTPUT)
                final, written = write_video(run, writer, vae=vae, kept=kept, wants_state=wanted)
        host.note_output(wanted)
        written |= kept.report()
        if beside is not None:
            written["workflow_file"] = beside.name
            host.log(f"ComfyUI's page reads no workflow from {file.path.name}: it is in {beside.name} beside it.")
        saved = ui.SavedResult(file.path.name, file.subfolder, io.FolderType(file.folder))
        shown = {**ui.PreviewVideo([saved]).as_dict(), **run.ui()}
        return io.NodeOutput(host.video_from_file(file.path), final, run.report(**written), run.played(), ui=shown)
