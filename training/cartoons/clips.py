"""Short clips of the cartoon world for training the video autoencoder, by number: the same number, the same clip."""

from __future__ import annotations

import numpy as np

from .story import CHUNK_FRAMES, CartoonStory, Segment, all_shots, prompts, render
from .world import IDENTITIES, KINDS, SIZE

LATENT_FRAMES, _LATENT_COLUMNS = 4, 8  # pictures of a latent frame, and columns of a latent pixel
_CHUNKS = 4  # of each of the two segments that a clip is cut out of: later, many just stand
_EMPTY = 0.08  # share of empty scenes
_SPOT = 8  # how far a pixel of a character is from the empty scene's, in 0..255


def clip(rng: np.random.Generator, frames: int, cut: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Pictures that latent frames fit: the first is one's last, or a story's first.

    frames  1 + 4 n.
    cut     how often the clip has a cut between two scenes in it.

    Returns (uint8 [frames, SIZE, SIZE, 3], bool [frames, SIZE, SIZE]: where a character is).
    """
    segments = tuple(_segment(rng, start) for start in (0, _CHUNKS))
    identities = {kind: IDENTITIES[rng.integers(len(IDENTITIES))] for kind in KINDS}
    middle = CHUNK_FRAMES * _CHUNKS // LATENT_FRAMES  # the cut, in latent frames
    length = frames // LATENT_FRAMES
    if length and rng.random() < cut:
        first = middle - int(rng.integers(1, length + 1))
    else:
        first = int(rng.integers(0, middle - length))
    start = LATENT_FRAMES * first
    return render_with_mask(CartoonStory(segments, identities), start, start + frames)


def render_with_mask(
    story: CartoonStory, first_frame: int = 0, end_frame: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`render`, and bool [frames, SIZE, SIZE]: where a character is."""
    pictures = render(story, first_frame, end_frame)
    empty = render(story.without_cast(), first_frame, end_frame)
    return pictures, np.abs(pictures.astype(np.int16) - empty).max(-1) > _SPOT


def batch(seed: int, number: int, clips: int, frames: int, columns: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """`clips` clips: (uint8 [clips, frames, SIZE, columns, 3], bool [clips, frames, SIZE, columns]).

    columns  a multiple of 8; where it is less than SIZE, the part of each clip that shows most of a character.
    """
    rng = np.random.default_rng([seed, number])
    drawn = [_narrow(*clip(rng, frames), columns) for _ in range(clips)]
    return np.stack([pictures for pictures, _ in drawn]), np.stack([where for _, where in drawn])


def _narrow(pictures: np.ndarray, where: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    starts = range(0, SIZE - columns + 1, _LATENT_COLUMNS)
    start = max(starts, key=lambda column: where[..., column : column + columns].sum())
    part = slice(start, start + columns)
    return pictures[:, :, part], where[:, :, part]


def _segment(rng: np.random.Generator, start: int) -> Segment:
    shots = all_shots()
    scene, cast, action = shots[rng.integers(len(shots))]
    if rng.random() < _EMPTY:
        cast, action = (), "empty"
    return Segment(prompts(scene, cast, action)[0], scene, cast, action, start, start + _CHUNKS)
