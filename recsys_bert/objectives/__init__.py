"""Pretraining objectives: what is hidden from the encoder and what it is asked for, for items and tokens alike."""
