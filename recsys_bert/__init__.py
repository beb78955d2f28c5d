"""Recommendation that treats a user's clicks as a sentence."""

__version__ = "0.1.0"
