"""Click logs: from any file to memory-mapped histories. No torch in here."""
