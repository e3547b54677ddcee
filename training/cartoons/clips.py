"""Short clips of the cartoon world for training the video autoencoder. The same number gives the same clip."""

from __future__ import annotations

import numpy as np

from .prompts import Shot, all_shots, prompt_variants
from .story import CHUNK_FRAMES, FRAMES_PER_LATENT, CartoonStory, Segment, render
from .world import IDENTITIES, KINDS, SIZE

_LATENT_COLUMNS = 8  # columns of a latent pixel
_CHUNKS = 4  # of each of the two segments that a clip is cut out of: later, many characters just stand
_EMPTY = 0.08  # share of empty scenes
_DIFFERENCE = 8  # least difference between a pixel of a character and the empty scene's, in 0..255


def sample_clip(rng: np.random.Generator, frames: int, cut: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Draw a random clip that starts on a latent frame: with its last video frame, or with a story's first.

    frames  1 + 4 n video frames.
    cut     share of clips with a cut between two scenes.

    Returns (pictures, uint8 [frames, SIZE, SIZE, 3]; where a character is, bool [frames, SIZE, SIZE]).
    """
    segments = tuple(_sample_segment(rng, start) for start in (0, _CHUNKS))
    identities = {kind: IDENTITIES[rng.integers(len(IDENTITIES))] for kind in KINDS}
    middle = CHUNK_FRAMES * _CHUNKS // FRAMES_PER_LATENT  # the cut, in latent frames
    length = frames // FRAMES_PER_LATENT
    if length and rng.random() < cut:
        first = middle - int(rng.integers(1, length + 1))
    else:
        first = int(rng.integers(0, middle - length))
    start = FRAMES_PER_LATENT * first
    return render_with_mask(CartoonStory(segments, identities), start, start + frames)


def render_with_mask(
    story: CartoonStory, first_frame: int = 0, end_frame: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw video frames as `render` does, and a mask of their characters.

    Returns (pictures, uint8 [frames, SIZE, SIZE, 3]; where a character is, bool [frames, SIZE, SIZE]).
    """
    pictures = render(story, first_frame, end_frame)
    empty = render(story.without_cast(), first_frame, end_frame)
    return pictures, np.abs(pictures.astype(np.int16) - empty).max(-1) > _DIFFERENCE


def clip_batch(seed: int, number: int, clips: int, frames: int, columns: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Draw batch `number` of random clips.

    columns  a multiple of 8; where it is less than SIZE, the part of each clip that shows most of a character.

    Returns (pictures, uint8 [clips, frames, SIZE, columns, 3]; where a character is, bool
    [clips, frames, SIZE, columns]).
    """
    rng = np.random.default_rng([seed, number])
    drawn = [_crop(*sample_clip(rng, frames), columns) for _ in range(clips)]
    return np.stack([pictures for pictures, _ in drawn]), np.stack([mask for _, mask in drawn])


def _crop(pictures: np.ndarray, mask: np.ndarray, columns: int) -> tuple[np.ndarray, np.ndarray]:
    starts = range(0, SIZE - columns + 1, _LATENT_COLUMNS)
    start = max(starts, key=lambda column: mask[..., column : column + columns].sum())
    part = slice(start, start + columns)
    return pictures[:, :, part], mask[:, :, part]


def _sample_segment(rng: np.random.Generator, start: int) -> Segment:
    shots = all_shots()
    shot = shots[rng.integers(len(shots))]
    if rng.random() < _EMPTY:
        shot = Shot(shot.scene, (), "empty")
    return Segment(prompt_variants(shot)[0], shot, start, start + _CHUNKS)
