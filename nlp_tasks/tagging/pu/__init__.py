"""Tagging from a dictionary: positive-unlabelled learning."""
