"""Text tasks on the shared encoder core."""
