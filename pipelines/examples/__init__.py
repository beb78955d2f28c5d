"""Small programs, each run by a test: ``python -m pipelines.examples.clicks_end_to_end``."""
