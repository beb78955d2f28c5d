"""Sentence vectors: train, evaluate, encode."""
