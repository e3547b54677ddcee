"""The small causal generator and its training."""
