"""Settings of memory: sink, window, bank, archive."""

from __future__ import annotations

from dataclasses import dataclass

from .require import require, require_int

# RoPE rows that Wan 2.1 was trained with: `absolute` positions end here
MAX_ABSOLUTE_FRAMES = 1024
MAX_BANK_FRAMES = 64

RETRIEVALS = ("reference", "prompt", "similarity", "attention", "fifo", "none", "shots")
POSITIONS = ("auto", "absolute", "relative")
RECORDS = ("interval", "latest")
SINKS = ("first", "average")
CACHES = ("model", "fp8")
BANK_KEYS = ("made", "alone")
ARCHIVES = ("off", "latents", "keys")
ARCHIVE_GB, MAX_ARCHIVE_GB = 8.0, 4096
ARCHIVE_RULES = ("words", "similarity", "keys", "attention")
RULES_BY_KEYS = ("keys", "attention")  # that keep a mean key of every archived frame
ADMISSIONS = ("clock", "novelty")


@dataclass(frozen=True)
class MemoryConfig:
    """Sink, window and bank of a stream (arXiv 2512.14699, sections 3.2 and 3.3), counted in latent frames.

    sink_frames    first latent frames of the stream, or since the last cut, always attended.
    window_frames  newest latent frames, the current chunk included. The published `local_attn_size` is
                   sink_frames + window_frames.
    bank_frames    older latent frames kept by relevance (NAM, narrative adaptive memory).
    record_every   a chunk's first latent frame becomes a candidate for the bank once in this many chunks.
    top_k          frames of sink + bank that each head reads (SMA, sparse memory activation); None reads all.
    retrieval      one of RETRIEVALS: how the bank chooses the frames it keeps. `shots` is LongLive 2's: the bank holds
                   one chunk, the first of the shot since the last `jump`, and nothing is ever recached.
    positions      `absolute` (as trained, at most 1024 latent frames), `relative` (any length), or `auto`.
    pins           latent frames that are recorded whatever the interval, and never dropped.
    global_sink    `reference` only: False forgets the sink at a prompt switch, as published.
    record         `reference` only: `interval` is the published multi-prompt program; `latest` its
                   single-prompt one, which offers every chunk and only fills the bank at the interval.
    cache          precision of the keys and values that are kept: the `model`'s own, or `fp8`, half of bfloat16.
                   Frames are chosen by the keys before they are rounded.
    sink           `first`: the first frames stay as they were made. `average`: they are a running average with the
                   frames that leave the window (Reward Forcing's EMA sink), which needs relative positions.
    sink_decay     how much of an averaged sink stays when a frame leaves the window.
    shot_offset    latent frames by which absolute positions move on at a `jump`.
    bank_keys      keys and values of frames in the bank: `made` by their chunk's context pass, which saw sink, window
                   and bank, as published; or made anew when a frame enters, reading it `alone`.
    archive        `off`: what the bank drops is forgotten, as in the paper. Else the bank is chosen anew at each prompt
                   change from every frame that was ever recorded. `latents`: their clean latents and prompts are kept,
                   and a frame that comes back is read anew, alone. `keys`: their keys and values are kept beside these,
                   as they were made, in `archive_gb` of RAM; where that is full, the frames that were asked for least,
                   and of these the oldest, are read anew.
    archive_gb     RAM for keys and values of the archive `keys`, in GB of 2^30 bytes, all heads of the model counted.
    archive_rule   one of ARCHIVE_RULES: how frames are chosen from the archive, see `memflow_core.memory.recall`.
    admission      what enters a full bank: `clock`, every recorded frame, as published, or `novelty`: those that are no
                   nearer to a frame of the bank, by mean keys, than its frames are to one another.
    look_ahead     whether the frames stay that prompts to come will ask for, where the schedule is known; of retrieval
                   `prompt` and `similarity`. What is made then depends on what comes after it.
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
    sink: str = "first"
    sink_decay: float = 0.999
    shot_offset: int = 8
    bank_keys: str = "made"
    archive: str = "off"
    archive_rule: str = "words"
    archive_gb: float = ARCHIVE_GB
    admission: str = "clock"
    look_ahead: bool = False
    bank_layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        choices = {"retrieval": RETRIEVALS, "positions": POSITIONS, "record": RECORDS, "cache": CACHES, "sink": SINKS}
        choices |= {"bank_keys": BANK_KEYS, "archive": ARCHIVES, "archive_rule": ARCHIVE_RULES}
        choices |= {"admission": ADMISSIONS}
        for name, allowed in choices.items():
            value = getattr(self, name)
            require(value in allowed, f"memory {name} is {value!r}, but must be one of {', '.join(allowed)}.")
        require_int("memory sink_frames", self.sink_frames, 0)
        require_int("memory window_frames", self.window_frames, 1)
        require_int("memory bank_frames", self.bank_frames, 0, MAX_BANK_FRAMES)
        require_int("memory record_every", self.record_every, 1)
        attended = self.sink_frames + self.window_frames + self.bank_frames
        require(
            attended <= MAX_ABSOLUTE_FRAMES,
            f"sink, window and bank hold {attended} latent frames, but must stay within {MAX_ABSOLUTE_FRAMES}.",
        )
        require(
            self.cache == "model" or self.retrieval != "reference",
            f"memory cache is {self.cache!r}, but retrieval 'reference' stands for the published code's very numbers: "
            f"choose another retrieval, or cache 'model'.",
        )
        require_int("memory shot_offset", self.shot_offset, 0, MAX_ABSOLUTE_FRAMES)
        self._check_sink()
        self._check_archive()
        self._check_admission()
        self._check_bank_layers()
        self._check_top_k()
        self._check_pins()

    def _check_sink(self) -> None:
        require(
            isinstance(self.sink_decay, (int, float)) and 0 <= self.sink_decay <= 1,
            f"memory sink_decay is {self.sink_decay!r}, but must be from 0 to 1.",
        )
        if self.sink == "first":
            return
        require(
            self.positions != "absolute" and self.retrieval != "reference" and self.sink_frames > 0,
            "memory sink is 'average', which needs at least one sink frame, relative positions, and another retrieval "
            "than 'reference': set these, or sink 'first'.",
        )

    def _check_archive(self) -> None:
        require(
            self.bank_keys == "made" or self.retrieval != "reference",
            "memory bank_keys is 'alone', but retrieval 'reference' stands for the published code's very numbers: "
            "choose another retrieval, or bank_keys 'made'.",
        )
        require(
            self.retrieval != "shots" or (self.bank_keys, self.archive) == ("made", "off"),
            f"memory retrieval 'shots' keeps the first chunk of a shot as it was made, all its frames together, but "
            f"bank_keys is {self.bank_keys!r} and archive is {self.archive!r}: set bank_keys to 'made' and archive to "
            f"'off', or choose another retrieval.",
        )
        require(
            self.archive != "latents" or self.bank_keys == "alone",
            f"memory archive is 'latents', whose frames come back by reading them alone, but bank_keys is "
            f"{self.bank_keys!r}: set bank_keys to 'alone', or archive to 'keys' or 'off'.",
        )
        require(
            self.archive != "keys" or self.bank_keys == "made",
            f"memory archive is 'keys', which keeps keys as they were made, but bank_keys is {self.bank_keys!r}: set "
            f"bank_keys to 'made', or archive to 'latents'.",
        )
        require(
            type(self.archive_gb) in (int, float) and 0 < self.archive_gb <= MAX_ARCHIVE_GB,
            f"memory archive_gb is {self.archive_gb!r}, but must be above 0, at most {MAX_ARCHIVE_GB}.",
        )
        require(
            self.archive == "off" or self.bank_slots > 0,
            f"memory archive is {self.archive!r}, but there is no bank to recall frames into: make bank_frames at "
            f"least 1 with a retrieval other than 'none', or set archive to 'off'.",
        )
        require(
            self.bank_keys == "made" or self.bank_slots > 0,
            "memory bank_keys is 'alone', but there is no bank whose frames could be read so: make bank_frames at "
            "least 1 with a retrieval other than 'none', or set bank_keys to 'made'.",
        )
        require(
            self.archive != "off" or self.archive_rule == ARCHIVE_RULES[0],
            f"memory archive_rule is {self.archive_rule!r}, but archive is 'off', so there is nothing to choose from: "
            f"set archive to 'latents' or 'keys', or archive_rule to {ARCHIVE_RULES[0]!r}.",
        )
        require(
            self.archive == "keys" or self.archive_gb == ARCHIVE_GB,
            f"memory archive_gb is {self.archive_gb!r}, but archive is {self.archive!r}, which keeps no keys: set "
            f"archive to 'keys', or archive_gb to {ARCHIVE_GB:g}.",
        )

    def _check_admission(self) -> None:
        require(
            self.admission == "clock" or self.holds_pins,
            f"memory admission is {self.admission!r}, but retrieval {self.retrieval!r} has rules of its own, or no "
            f"bank: set admission to 'clock', or choose another retrieval.",
        )
        require(
            isinstance(self.look_ahead, bool),
            f"memory look_ahead is {self.look_ahead!r}, but must be True or False.",
        )
        require(
            not self.look_ahead or self.retrieval in ("prompt", "similarity"),
            f"memory look_ahead is on, but retrieval {self.retrieval!r} does not choose by prompts: choose 'prompt' or "
            f"'similarity', or set look_ahead to False.",
        )

    def _check_bank_layers(self) -> None:
        if self.bank_layers is None:
            return
        for layer in self.bank_layers:
            require_int("a layer of memory bank_layers", layer, 0)
        require(
            list(self.bank_layers) == sorted(set(self.bank_layers)),
            f"memory bank_layers is {self.bank_layers}, but must name each layer once, in order.",
        )
        require(
            len(self.bank_layers) > 0 and self.bank_slots > 0,
            f"memory bank_layers is {self.bank_layers}, so that no layer reads a bank: name at least one, with a bank "
            f"of at least 1 frame, or choose retrieval 'none'.",
        )
        require(
            self.retrieval != "reference",
            "memory bank_layers is given, but retrieval 'reference' stands for the published code's very numbers: "
            "choose another retrieval, or leave it out.",
        )

    def _check_top_k(self) -> None:
        if self.top_k is None:
            return
        require_int("memory top_k", self.top_k, 1)
        held = self.sink_frames + self.bank_slots
        require(
            self.top_k <= held,
            f"memory top_k is {self.top_k}, but sink + bank hold only {held} latent frames: "
            f"use at most {held}, or None to read them all.",
        )

    def _check_pins(self) -> None:
        for frame in self.pins:
            require_int("a pinned latent frame", frame, 0)
        require(
            not self.pins or self.holds_pins,
            f"pins need a bank that can hold them, but retrieval is {self.retrieval!r}: choose another policy.",
        )
        require(
            len(set(self.pins)) <= self.bank_slots,
            f"{len(set(self.pins))} latent frames are pinned, but the bank holds {self.bank_slots}.",
        )

    @property
    def holds_pins(self) -> bool:
        """Whether the bank can keep frames that are pinned."""
        return self.retrieval not in ("none", "reference", "shots")

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
            # an average of keys that were turned to different places would stand for no place at all
            return "relative" if too_long or self.sink == "average" else "absolute"
        require(
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
