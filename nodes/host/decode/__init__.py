"""Decode one chunk after another, with what the VAE carries between them."""
