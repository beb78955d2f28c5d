"""A pretrained encoder over a prepared click log."""
