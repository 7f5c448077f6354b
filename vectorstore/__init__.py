"""Vectors and what is known of their photos: durable in PostgreSQL, searched in memory."""

import os

# Searches run beside one another in threads of their own. BLAS would start as many again under each of them, which wait
# for one another by turning in circles: on two busy cores, an exact search took three times as long. Only heeded before
# NumPy is loaded, hence here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
