"""The HTTP service: runs of both fronts behind one batcher."""
