"""Decoding: sequences of tokens or item codes from a model that scores the next one."""
