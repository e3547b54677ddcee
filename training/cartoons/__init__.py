"""The cartoon stories that the tiny model learns and is judged by."""
