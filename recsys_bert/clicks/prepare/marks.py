"""Columns that readers of files add for the checks of rows."""

RAGGED = "\0ragged"
"""True: the row has too few or too many cells."""

LINE = "\0line"
"""Number of the line in the file, from 0, where rows of the table are others."""
