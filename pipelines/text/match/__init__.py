"""Matching of pairs of texts: train, evaluate, predict, and search among many."""
