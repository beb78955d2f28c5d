"""Log formats that need more than column names, one file each."""
