"""Kernels, each beside the plain torch function that defines what it computes."""
