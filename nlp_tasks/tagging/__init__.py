"""Tagging (named entity recognition): tag schemes, annotated files, tagging models, strict metrics.

A *word* is what carries a tag: a word of the text, or a character where text is not cut into words. An entity is
``(start, stop, type)`` in words, ``stop`` one past its last.
"""
