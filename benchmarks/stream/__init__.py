"""Speed of the stream, counted and measured."""
