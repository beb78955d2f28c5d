"""The text front: one module a command, grouped by task."""
