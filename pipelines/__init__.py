"""Whole programs, one a stage, each readable from top to bottom."""
