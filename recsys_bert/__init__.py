"""Recommendation that treats a user's clicks as a sentence."""

import os

# torch and faiss each bring an OpenMP pool. Idle threads of the one must not spin on the other's cores for long; but
# where many small operations follow one another, as in a recurrent neck or a CRF, threads that sleep at once make a
# training four times slower. So they spin for a moment. Read when the first of the two is imported: it has to be here.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"
