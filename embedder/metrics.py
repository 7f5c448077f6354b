"""What the embedder counts."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

STAGE_SECONDS: Final = Histogram(
    "twin_embedder_stage_seconds",
    "Seconds that one stage took for one image.",
    ("stage",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
IMAGES: Final = Counter("twin_embedder_images_total", "Images worked on, by outcome.", ("outcome",))
FACES: Final = Counter("twin_embedder_faces_total", "Faces found.")
VECTORS: Final = Counter("twin_embedder_vectors_total", "Faces embedded.")
IN_FLIGHT: Final = Gauge("twin_embedder_in_flight", "Images that run or wait for a thread.")
REFUSED: Final = Counter("twin_embedder_refused_total", "Unary calls refused because the queue was full.")
