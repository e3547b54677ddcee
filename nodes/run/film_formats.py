"""Kinds of video files that a story is written to, by the names that a node has for them."""

from __future__ import annotations

# option of the widget -> file ending and codec
FORMATS = {
    "mp4 (h264)": ("mp4", "h264"),
    "mp4 (h265)": ("mp4", "h265"),
    "mp4 (av1)": ("mp4", "av1"),
    "webm (vp9)": ("webm", "vp9"),
    "webm (av1)": ("webm", "av1"),
    "mkv (h264)": ("mkv", "h264"),
}
# option of the widget -> how far the CRF is above the codec's usual one
QUALITIES = {"high": 0, "medium": 6, "small file": 12}
