"""Shared parts of the commands: flags, help, lists, files."""
