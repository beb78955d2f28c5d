"""Named entities: tag schemes, annotated files, flat models of one tag a unit, strict figures.

A *unit* is what carries a tag: a word, or a character where words are not cut. An entity is ``(start, stop, type)`` in
units, ``stop`` one past its last.
"""
