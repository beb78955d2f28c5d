"""Word vectors: train."""
