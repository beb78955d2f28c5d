"""Word vectors: train them on plain text, write and read them as text, initialise embeddings with them."""
