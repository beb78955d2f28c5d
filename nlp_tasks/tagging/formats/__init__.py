"""Formats of annotated sentences: columns, JSON objects and table rows, brat."""
