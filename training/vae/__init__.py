"""The small video autoencoder."""
