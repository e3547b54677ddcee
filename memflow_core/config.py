"""Settings of a stream: latent size, model sizes, memory, and how a chunk is sampled.

Every value is checked once, when the object is made; the rest of the core relies on it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LatentShape:
    """Latent size and batch of a stream.

    rows, columns  an eighth of the picture's height and width in pixels; even, since patches are 2 x 2.

    Raises ValueError for other sizes.
    """

    rows: int
    columns: int
    batch: int = 1

    def __post_init__(self) -> None:
        for name, value in (("height", self.rows), ("width", self.columns)):
            if value < 2 or value % 2:
                raise ValueError(
                    f"the picture {name} is {value * 8} pixels, but must be a multiple of 16, at least 16."
                )
        if self.batch < 1:
            raise ValueError(f"the batch is {self.batch}, but must be at least 1.")

    @property
    def tokens(self) -> int:
        """Tokens of one latent frame."""
        return (self.rows // 2) * (self.columns // 2)


# RoPE rows that Wan 2.1 was trained with: `absolute` positions end here
MAX_ABSOLUTE_FRAMES = 1024
MAX_BANK_FRAMES = 64

RETRIEVALS = ("reference", "prompt", "similarity", "attention", "fifo", "none")
POSITIONS = ("auto", "absolute", "relative")
RECORDS = ("interval", "latest")
SWITCHES = ("recache", "soft", "cut", "blend")
BLEND_PATHS = ("linear", "spherical")
CACHES = ("model", "fp8")
BANK_KEYS = ("made", "alone")
ARCHIVES = ("off", "latents")
ARCHIVE_RULES = ("words", "similarity", "keys")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _require_int(name: str, value: object, low: int, high: int | None = None) -> None:
    allowed = f"a whole number of at least {low}" if high is None else f"a whole number from {low} to {high}"
    ok = isinstance(value, int) and not isinstance(value, bool) and value >= low and (high is None or value <= high)
    _require(ok, f"{name} is {value!r}, but must be {allowed}.")


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a Wan 2.1 text-to-video backbone. Patches are (1, 2, 2), as in every Wan 2.1 file.

    Raises ValueError for sizes that are no whole numbers above 0, or that heads cannot share.
    """

    dim: int
    num_heads: int
    num_layers: int
    ffn_dim: int
    text_dim: int
    freq_dim: int = 256
    in_channels: int = 16
    out_channels: int = 16
    eps: float = 1e-6

    def __post_init__(self) -> None:
        sizes = ("dim", "num_heads", "num_layers", "ffn_dim", "text_dim", "freq_dim", "in_channels", "out_channels")
        for name in sizes:
            _require_int(f"model {name}", getattr(self, name), 1)
        _require(
            self.dim % self.num_heads == 0 and (self.dim // self.num_heads) % 2 == 0,
            f"model dim {self.dim} cannot be split into {self.num_heads} heads of even width.",
        )
        _require(self.freq_dim % 2 == 0, f"model freq_dim is {self.freq_dim}, but must be even.")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.num_heads


@dataclass(frozen=True)
class MemoryConfig:
    """Sink, window and bank of a stream (arXiv 2512.14699, sections 3.2 and 3.3), counted in latent frames.

    sink_frames    first latent frames of the stream, or since the last cut, always attended.
    window_frames  newest latent frames, the current chunk included. The published `local_attn_size` is
                   sink_frames + window_frames.
    bank_frames    older latent frames kept by relevance (NAM, narrative adaptive memory).
    record_every   a chunk's first latent frame becomes a candidate for the bank once in this many chunks.
    top_k          frames of sink + bank that each head reads (SMA, sparse memory activation); None reads all.
    retrieval      one of RETRIEVALS: how the bank chooses the frames it keeps.
    positions      `absolute` (as trained, at most 1024 latent frames), `relative` (any length), or `auto`.
    pins           latent frames that are recorded whatever the interval, and never dropped.
    global_sink    `reference` only: False forgets the sink at a prompt switch, as published.
    record         `reference` only: `interval` is the published multi-prompt program; `latest` its
                   single-prompt one, which offers every chunk and only fills the bank at the interval.
    cache          precision of the keys and values that are kept: the `model`'s own, or `fp8`, half of bfloat16.
                   Frames are chosen by the keys before they are rounded.
    bank_keys      keys and values of frames in the bank: `made` by their chunk's context pass, which saw sink, window
                   and bank, as published; or made anew when a frame enters, reading it `alone`.
    archive        `off`: what the bank drops is forgotten, as in the paper. `latents`: clean latents and prompt of each
                   recorded frame are kept, and the bank is chosen anew from them at each prompt change.
    archive_rule   one of ARCHIVE_RULES: how frames are chosen from the archive, see `memflow_core.memory.recall`.
    bank_layers    layers of the model, from 0, that read the bank; None: all, as published. The bank is kept in every
                   layer, so a stream may go on with others.

    Raises ValueError for values that are out of range or do not fit together.
    """

    retrieval: str = "prompt"
    sink_frames: int = 3
    window_frames: int = 9
    bank_frames: int = 3
    record_every: int = 3
    top_k: int | None = None
    positions: str = "auto"
    pins: tuple[int, ...] = ()
    global_sink: bool = True
    record: str = "interval"
    cache: str = "model"
    bank_keys: str = "made"
    archive: str = "off"
    archive_rule: str = "words"
    bank_layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        choices = {"retrieval": RETRIEVALS, "positions": POSITIONS, "record": RECORDS, "cache": CACHES}
        choices |= {"bank_keys": BANK_KEYS, "archive": ARCHIVES, "archive_rule": ARCHIVE_RULES}
        for name, allowed in choices.items():
            value = getattr(self, name)
            _require(value in allowed, f"memory {name} is {value!r}, but must be one of {', '.join(allowed)}.")
        _require_int("memory sink_frames", self.sink_frames, 0)
        _require_int("memory window_frames", self.window_frames, 1)
        _require_int("memory bank_frames", self.bank_frames, 0, MAX_BANK_FRAMES)
        _require_int("memory record_every", self.record_every, 1)
        attended = self.sink_frames + self.window_frames + self.bank_frames
        _require(
            attended <= MAX_ABSOLUTE_FRAMES,
            f"sink, window and bank hold {attended} latent frames, but must stay within {MAX_ABSOLUTE_FRAMES}.",
        )
        _require(
            self.cache == "model" or self.retrieval != "reference",
            f"memory cache is {self.cache!r}, but retrieval 'reference' stands for the published code's very numbers: "
            f"choose another retrieval, or cache 'model'.",
        )
        self._check_archive()
        self._check_bank_layers()
        self._check_top_k()
        self._check_pins()

    def _check_archive(self) -> None:
        _require(
            self.bank_keys == "made" or self.retrieval != "reference",
            "memory bank_keys is 'alone', but retrieval 'reference' stands for the published code's very numbers: "
            "choose another retrieval, or bank_keys 'made'.",
        )
        _require(
            self.archive == "off" or self.bank_keys == "alone",
            f"memory archive is {self.archive!r}, whose frames come back by reading them alone, but bank_keys is "
            f"{self.bank_keys!r}: set bank_keys to 'alone', or archive to 'off'.",
        )
        _require(
            self.archive == "off" or self.bank_slots > 0,
            f"memory archive is {self.archive!r}, but there is no bank to recall frames into: make bank_frames at "
            f"least 1 with a retrieval other than 'none', or set archive to 'off'.",
        )
        _require(
            self.bank_keys == "made" or self.bank_slots > 0,
            "memory bank_keys is 'alone', but there is no bank whose frames could be read so: make bank_frames at "
            "least 1 with a retrieval other than 'none', or set bank_keys to 'made'.",
        )
        _require(
            self.archive != "off" or self.archive_rule == ARCHIVE_RULES[0],
            f"memory archive_rule is {self.archive_rule!r}, but archive is 'off', so there is nothing to choose from: "
            f"set archive to 'latents', or archive_rule to {ARCHIVE_RULES[0]!r}.",
        )

    def _check_bank_layers(self) -> None:
        if self.bank_layers is None:
            return
        for layer in self.bank_layers:
            _require_int("a layer of memory bank_layers", layer, 0)
        _require(
            list(self.bank_layers) == sorted(set(self.bank_layers)),
            f"memory bank_layers is {self.bank_layers}, but must name each layer once, in order.",
        )
        _require(
            len(self.bank_layers) > 0 and self.bank_slots > 0,
            f"memory bank_layers is {self.bank_layers}, so that no layer reads a bank: name at least one, with a bank "
            f"of at least 1 frame, or choose retrieval 'none'.",
        )
        _require(
            self.retrieval != "reference",
            "memory bank_layers is given, but retrieval 'reference' stands for the published code's very numbers: "
            "choose another retrieval, or leave it out.",
        )

    def _check_top_k(self) -> None:
        if self.top_k is None:
            return
        _require_int("memory top_k", self.top_k, 1)
        held = self.sink_frames + self.bank_slots
        _require(
            self.top_k <= held,
            f"memory top_k is {self.top_k}, but sink + bank hold only {held} latent frames: "
            f"use at most {held}, or None to read them all.",
        )

    def _check_pins(self) -> None:
        for frame in self.pins:
            _require_int("a pinned latent frame", frame, 0)
        _require(
            not self.pins or self.retrieval not in ("none", "reference"),
            f"pins need a bank that can hold them, but retrieval is {self.retrieval!r}: choose another policy.",
        )
        _require(
            len(set(self.pins)) <= self.bank_slots,
            f"{len(set(self.pins))} latent frames are pinned, but the bank holds {self.bank_slots}.",
        )

    @property
    def bank_slots(self) -> int:
        """Slots of the bank: 0 where retrieval is `none`."""
        return 0 if self.retrieval == "none" else self.bank_frames

    def resolve_positions(self, frames: int | None) -> str:
        """Choose `absolute` or `relative` positions for a stream of `frames` latent frames (None: length unknown).

        Raises ValueError where the setting is `absolute` and the stream is too long for it.
        """
        too_long = frames is None or frames > MAX_ABSOLUTE_FRAMES
        if self.positions == "auto":
            return "relative" if too_long else "absolute"
        _require(
            not (self.positions == "absolute" and frames is not None and too_long),
            f"absolute positions reach {MAX_ABSOLUTE_FRAMES} latent frames (about 256 s), but the stream has "
            f"{frames}: choose relative or auto.",
        )
        return self.positions


# memory settings under the names that workflow files hold
MEMORIES: dict[str, MemoryConfig] = {
    "Story": MemoryConfig(),
    "Official MemFlow": MemoryConfig(retrieval="reference"),
    "Sparse (SMA, 3 of 6)": MemoryConfig(top_k=3),
    "Window only": MemoryConfig(retrieval="none", sink_frames=0),
    "Sharper memory": MemoryConfig(bank_frames=6, record_every=2),
}


@dataclass(frozen=True)
class SamplingConfig:
    """How one chunk is denoised (arXiv 2512.14699, section 4.1; the defaults are those of the released 1.3B model).

    steps          denoising steps on the 1000-step training grid, first to last.
    shift          flow-matching timestep shift.
    warp           map the steps through the shifted schedule; False uses the integers as timesteps.
    context_noise  timestep of the passes that write clean K/V: the context pass and a recache.
    chunk_frames   latent frames made together.

    Raises ValueError for values that are out of range.
    """

    steps: tuple[int, ...] = (1000, 750, 500, 250)
    shift: float = 5.0
    warp: bool = True
    context_noise: float = 0.0
    chunk_frames: int = 3

    def __post_init__(self) -> None:
        _require(len(self.steps) > 0, "the step list is empty: give at least one denoising step, for example 1000.")
        for step in self.steps:
            _require_int("a denoising step", step, 0, 1000)
        falling = all(a > b for a, b in zip(self.steps, self.steps[1:], strict=False))
        _require(
            falling,
            f"denoising steps {list(self.steps)} must fall from noise to picture, for example 1000, 750, 500, 250.",
        )
        _require(self.shift > 0, f"shift is {self.shift!r}, but must be above 0.")
        _require(
            0 <= self.context_noise < 1000,
            f"context_noise is {self.context_noise!r}, but must be from 0 to below 1000.",
        )
        _require_int("chunk_frames", self.chunk_frames, 1)


def check_switch(switch: str, blend_chunks: int, blend_path: str) -> None:
    """Raise ValueError unless a prompt can take over by these settings: one of SWITCHES, and those of a blend."""
    _require(switch in SWITCHES, f"switch is {switch!r}, but must be one of {', '.join(SWITCHES)}.")
    _require_int("the number of chunks that a blend takes", blend_chunks, 1)
    _require(blend_path in BLEND_PATHS, f"blend path is {blend_path!r}, but must be one of {', '.join(BLEND_PATHS)}.")


def check_fit(memory: MemoryConfig, sampling: SamplingConfig, layers: int | None = None) -> None:
    """Raise ValueError unless a chunk fits into the window, and a model of so many layers has those that are named."""
    _require(
        memory.window_frames >= sampling.chunk_frames,
        f"memory window_frames is {memory.window_frames}, but one chunk has {sampling.chunk_frames} latent frames "
        f"and must fit into the window.",
    )
    named = memory.bank_layers or ()
    _require(
        layers is None or all(layer < layers for layer in named),
        f"memory bank_layers names layer {max(named, default=0)}, but the model has layers 0 to {(layers or 1) - 1}.",
    )
