"""What shortens or selects long input before an encoder reads it."""
