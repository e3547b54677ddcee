"""Whether memory brings characters back."""
