"""Labels of parts: what people know a part by, for those who have not the numbers that it was made from.

`label_D_F_S_K_P.json` says of the part that ends at the moment D and starts with chunk F: it is of the story S, the
beginning that ends with it is known as K, and its segment stands in the place P. These are digests as a caller makes
them of what is written in a graph, where D is made of the numbers themselves. So a name alone answers what is kept.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..disk import Draft

MOST_LABEL_BYTES = 4_000_000
_HEX = "[0-9a-f]{32}"
LABEL_NAME = re.compile(rf"label_({_HEX})_(\d{{1,9}})_({_HEX})_({_HEX})_({_HEX})\.json")


@dataclass(frozen=True)
class LabelName:
    """What a label's name says.

    digest  of the moment that the part ends at.
    first   the part's first chunk.
    story   all that a story is made with but its schedule and seed, as the caller knows it.
    known   the beginning that ends with the part, as the caller knows it.
    place   of the part's segment: the beginning before it, and its prompt without its seed.
    """

    digest: str
    first: int
    story: str
    known: str
    place: str

    @property
    def file(self) -> str:
        return f"label_{self.digest}_{self.first}_{self.story}_{self.known}_{self.place}.json"


@dataclass(frozen=True)
class LabelText:
    """What a label tells.

    end         the chunk after the part's last.
    segment     the first chunk of its segment.
    prompt      of the segment, as it was written.
    seed        of its noise.
    start_s     where the part starts in its video, and `end_s`, where it ends.
    made_s      when it was made, in seconds of the system's clock.
    pictures    data URLs of small JPEG pictures, of the first frame of each chunk; none where there were no previews.
    """

    end: int
    segment: int
    prompt: str
    seed: int
    start_s: float
    end_s: float
    made_s: float
    pictures: tuple[str, ...] = ()


def label_of(name: str) -> LabelName | None:
    """What a file's name says, or None for one that is no label's."""
    found = LABEL_NAME.fullmatch(name)
    if found is None:
        return None
    digest, first, *rest = found.groups()
    return LabelName(digest, int(first), *rest)


def write_label(folder: Path, name: LabelName, text: LabelText) -> None:
    """Write a label into a folder that is there; one of the same name is replaced. Raises OSError."""
    path = folder / name.file
    with Draft(path) as draft:
        draft.file.write(json.dumps(asdict(text)).encode())
        draft.finish(path, replace=True)


def read_label(folder: Path, name: LabelName) -> LabelText:
    """Read a label. Raises ValueError in one sentence for one that is damaged, of another kind or gone."""
    path = folder / name.file
    try:
        if path.stat().st_size > MOST_LABEL_BYTES:
            raise ValueError("too large")
        return _checked(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"{path.name} is damaged or gone.") from error


def _checked(content: dict[str, Any]) -> LabelText:
    numbers = {name: content[name] for name in ("end", "segment", "seed")}
    times = {name: content[name] for name in ("start_s", "end_s", "made_s")}
    pictures = content["pictures"]
    whole = all(type(value) is int and value >= 0 for value in numbers.values())
    real = all(type(value) in (int, float) and value >= 0 for value in times.values())
    if not (whole and real and isinstance(content["prompt"], str) and isinstance(pictures, list)):
        raise ValueError("of another form")
    if not all(isinstance(picture, str) and picture.startswith("data:image/jpeg;base64,") for picture in pictures):
        raise ValueError("other pictures")
    return LabelText(**numbers, **times, prompt=content["prompt"], pictures=tuple(pictures))
