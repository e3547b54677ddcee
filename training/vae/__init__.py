"""The small video autoencoder of the tiny story model: its network, its training, and a codec for pictures."""

from .autoencoder import LATENTS, WAN_MEAN, WAN_STD, VideoAutoencoder, compile_norms, wan_weights
from .codec import ENCODE_LEAD, Codec, read_vae
from .evaluation import VaeScores, evaluate, latent_statistics
from .trainer import FIRST_TRAINING_SEED, ClipBatches, VaeSettings, VaeTrainer, to_signed

__all__ = [
    "ENCODE_LEAD",
    "FIRST_TRAINING_SEED",
    "LATENTS",
    "WAN_MEAN",
    "WAN_STD",
    "ClipBatches",
    "Codec",
    "VaeScores",
    "VaeSettings",
    "VaeTrainer",
    "VideoAutoencoder",
    "compile_norms",
    "evaluate",
    "latent_statistics",
    "read_vae",
    "to_signed",
    "wan_weights",
]
