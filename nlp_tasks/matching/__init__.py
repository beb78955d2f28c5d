"""Text pair matching: bi-encoder and cross-encoder."""
