"""HTTP routes of the pack: read a body, answer in JSON."""

__all__ = []
