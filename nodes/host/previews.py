"""Previews of latents by whatever previewer the user has: ComfyUI's own, or another pack's in its place.

A preview is an ornament: whatever goes wrong in one is told once in the log, and the run goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import latent_preview
from PIL import Image
from torch import Tensor

Preview = tuple[str, Image.Image, int | None]
"""Format, picture and largest side in pixels, as ComfyUI's progress bar takes them."""


class Previewer:
    """The previews that a user has chosen, for the latents of one run.

    model  the `MODEL` whose latents are previewed.
    wanted  whether the user has previews on.
    """

    def __init__(self, model: Any):
        self._told = False
        self._format = model.model.latent_format
        self._chosen: Any = None
        self._chosen = self._attempt(lambda: latent_preview.get_previewer(model.load_device, self._format))
        self.wanted = self._chosen is not None

    def of_latents(self, latents: Tensor) -> Preview | None:
        """A preview of a chunk's latents [1, C, F, h, w] in the model's latent space; None where there is none to show.

        Other packs' previewers may show it themselves, and then there is none.
        """
        if self._chosen is None:
            return None
        made = self._attempt(lambda: self._chosen.decode_latent_to_preview_image("JPEG", latents))
        if made is None:
            return None
        if isinstance(made, tuple) and len(made) == 3 and isinstance(made[1], Image.Image):
            return made
        return self._refuse(f"it gave a {type(made).__name__} for a picture")

    def of_frame(self, picture: Image.Image) -> Preview | None:
        """A preview of a decoded video frame; None where the user has previews off."""
        return ("JPEG", picture, latent_preview.MAX_PREVIEW_RESOLUTION) if self.wanted else None

    def picture(self, latents: Tensor) -> Image.Image | None:
        """A small picture of the first of some latent frames, by the user's previewer or else by ComfyUI's cheapest.

        latents  [1, C, F, h, w] in the model's latent space. Returns None if ComfyUI has no previewer for them.
        """
        first = latents[:, :, :1]
        if self._chosen is not None:
            made = self._attempt(lambda: self._chosen.decode_latent_to_preview(first))
            if isinstance(made, Image.Image):
                return made
        return self._attempt(lambda: self._cheapest(first))

    def _cheapest(self, latents: Tensor) -> Image.Image | None:
        if self._format.latent_rgb_factors is None:
            return None
        factors = (getattr(self._format, f"latent_rgb_factors{part}", None) for part in ("", "_bias", "_reshape"))
        return latent_preview.Latent2RGBPreviewer(*factors).decode_latent_to_preview(latents)

    def _attempt(self, make: Callable[[], Any]) -> Any:
        """What `make` returns, or None where it fails. A cancel passes: it is no Exception."""
        try:
            return make()
        # another pack's code may raise anything
        except Exception as error:
            return self._refuse(f"{type(error).__name__}: {error}")

    def _refuse(self, why: str) -> None:
        if not self._told:
            self._told = True
            name = type(self._chosen).__name__ if self._chosen is not None else "the previewer"
            logging.warning("MemFlow: %s cannot show this run, which goes on without it (%s).", name, why)
