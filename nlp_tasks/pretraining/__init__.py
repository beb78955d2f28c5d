"""Pretraining on plain text."""
