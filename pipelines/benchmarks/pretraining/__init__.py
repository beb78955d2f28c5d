"""Parts of ``pipelines.benchmarks.where_pretraining_pays``."""
