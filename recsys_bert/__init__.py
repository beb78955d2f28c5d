"""Recommendation that treats a user's clicks as a sentence."""

import os

# torch and faiss each bring an OpenMP pool; idle threads of the one must sleep, not spin on the other's cores. Read
# when the first of them is imported, so it has to be here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
