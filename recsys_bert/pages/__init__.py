"""Self-contained HTML pages: one file each, no network, light and dark, usable by keyboard and on a telephone."""
