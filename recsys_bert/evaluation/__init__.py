"""Honest offline numbers: ranking, classification, significance, and the report."""
