"""Which shots show one and the same character, told from prompts and pictures: for the choice from the archive.

Frames of one prompt make a shot. Shots whose pictures are alike make a group. Where prompts are alike and pictures are
not, two characters of one kind share a name, as two robots do: they are rivals, and a bank that shows both mixes their
looks. Nothing here is trained, no pass of the model is made, and any language goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

# a character walks from side to side more than up and down, so a row's mean tells little of where in it one stands
ROWS = 8
# correlation of two shots' pictures, beyond the mean of all, from which on they show the same
SAME_PICTURE = 0.5
# prompts so much alike may share a name: 0 is the least like one of the story, 1 the prompt itself
SAME_NAME = 0.25
# share of the best score that a second shot must have in words that the first one does not cover
UNCOVERED = 0.2
# tokens are found in context, so never quite alike: an even power of cosines, of which those near 1 are left
ALIKE, LEAST_OFTEN = 4, 1e-6


def look_of(latents: Tensor) -> Tensor:
    """What a frame's picture looks like, wherever in a row things stand.

    latents  [C, h, w], clean.

    Returns [C * ROWS] float32: means of rows.
    """
    return F.adaptive_avg_pool2d(latents.float(), (ROWS, 1)).flatten()


def found_tokens(coming: Tensor, past: Sequence[Tensor]) -> Tensor:
    """How well each token of a prompt is found in earlier prompts: the cosine of the likest token.

    coming  [length, text_dim], padded with rows of zeros.
    past    embeddings of earlier prompts, alike.

    Returns [len(past), tokens] float32.
    """
    tokens = F.normalize(own_tokens(coming), dim=-1)
    return torch.stack([(tokens @ F.normalize(own_tokens(text), dim=-1).T).amax(-1) for text in past])


def rarity(found: Tensor) -> Tensor:
    """Logarithm of how rarely each token is found, [tokens]; found is that of `found_tokens`."""
    return -(found**ALIKE).mean(0).clamp(LEAST_OFTEN, 1).log()


def own_tokens(text: Tensor) -> Tensor:
    """A prompt's own tokens [n, text_dim] float32, without rows of padding."""
    own = text.abs().amax(-1) > 0
    return text[own].float() if bool(own.any()) else text.float()


class Kin:
    """What shots and a coming prompt have to do with one another.

    coming  embedding of the coming prompt, [length, text_dim].
    texts   those of the shots, by number of the shot.
    looks   what the pictures of each shot look like, [numbers], as of `look_of`.
    """

    def __init__(self, coming: Tensor, texts: Mapping[int, Tensor], looks: Mapping[int, Tensor]):
        self._shots = list(texts)
        self._place = {shot: place for place, shot in enumerate(self._shots)}
        self._texts = list(texts.values())
        self._found = found_tokens(coming, self._texts)
        self._rarity = rarity(self._found)
        self._groups = _groups(torch.stack([looks[shot] for shot in self._shots]))
        self._near: dict[int, set[int]] = {}

    def meant(self, best: int, scores: Mapping[int, float]) -> int:
        """Of shots whose prompts are about as the best one's, the one that the coming prompt means.

        What is done in a shot changes, who is seen and where does not. So a word counts by how surely it is found with
        a picture, in all shots of one group: of two robots, the one that was always on the beach is the beach's, even
        if the other did just what is asked for now.

        best    the shot with the highest score.
        scores  of all shots.
        """
        found = self._by_group(self._found)
        by_group = ((found - found.mean(0)) * self._rarity * self._steadiness).sum(-1)
        own = self._group(best)
        near = {own, *self._groups_near(best)}
        group = max(sorted(near), key=lambda number: float(by_group[number]))
        if group == own:
            return best
        return max((shot for shot in self._shots if self._group(shot) == group), key=lambda s: (scores[s], s))

    def rivals(self, shot: int) -> set[int]:
        """Shots whose prompts are like this one's and whose pictures are not."""
        near = self._groups_near(shot)
        return {other for other in self._shots if self._group(other) in near}

    def same(self, shot: int) -> set[int]:
        """Shots that look like this one, itself among them."""
        return {other for other in self._shots if self._group(other) == self._group(shot)}

    def beside(self, first: int) -> int | None:
        """The shot, no rival of the first, that covers best what the coming prompt says and the first does not; None
        where none clearly does. So two characters that a prompt names both come."""
        barred = self.rivals(first) | self.same(first)
        others = [place for place, shot in enumerate(self._shots) if shot not in barred]
        if not others:
            return None
        found, least = self._found, self._found.min(0).values
        by_first = torch.maximum(self._by_group(found)[self._group(first)], found[self._place[first]])
        covered = (by_first - least) / (found.max(0).values - least).clamp(min=LEAST_OFTEN)
        above = (found - found.mean(0)) * self._rarity
        left = (above * (1 - covered)).sum(-1)
        place = max(others, key=lambda one: float(left[one]))
        return self._shots[place] if float(left[place]) >= UNCOVERED * float(above.sum(-1).max()) > 0 else None

    @cached_property
    def _steadiness(self) -> Tensor:
        """How surely each token is found in a whole group, or not at all, [tokens]: 1 is always."""
        share = self._by_group(self._found**ALIKE)
        return share.pow(2).sum(0) / share.sum(0).clamp(min=LEAST_OFTEN)

    def _group(self, shot: int) -> int:
        return int(self._groups[self._place[shot]])

    def _by_group(self, of_shots: Tensor) -> Tensor:
        """Mean over the shots of each group, of [shots, ...]."""
        member = F.one_hot(self._groups).float()
        return (member / member.sum(0)).T @ of_shots

    def _groups_near(self, shot: int) -> set[int]:
        """Other groups whose prompts are, on average, so much like a shot's that they may share its name."""
        if shot not in self._near:
            place = self._place[shot]
            # unweighted: of two of a kind the name is no rare word
            found = found_tokens(self._texts[place], self._texts).sum(-1)
            low, high = found.min(), found[place]
            near = (self._by_group(found[:, None])[:, 0] - low) / (high - low).clamp(min=LEAST_OFTEN)
            self._near[shot] = {group for group, one in enumerate(near.tolist()) if one >= SAME_NAME}
        return self._near[shot] - {self._group(shot)}


def _groups(looks: Tensor) -> Tensor:
    """Number of the group of each shot, int64 [shots]; two are of one if a chain of shots that look alike joins them.

    looks  [shots, numbers].
    """
    beyond = F.normalize(looks - looks.mean(0), dim=-1)
    alike = (beyond @ beyond.T >= SAME_PICTURE) | torch.eye(len(looks), dtype=torch.bool)
    label = torch.arange(len(looks))
    while True:
        least = torch.where(alike, label, len(looks)).amin(1)
        if torch.equal(least, label):
            return label.unique(return_inverse=True)[1]
        label = least
