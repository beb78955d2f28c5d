"""One training loop and everything that goes into it; knows modules and batches, not what they mean."""
