"""What the embedder counts."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, Info

STAGE_SECONDS: Final = Histogram(
    "twin_embedder_stage_seconds",
    "Seconds that one stage took for one batch.",
    ("stage",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
BATCH_SIZE: Final = Histogram(
    "twin_embedder_batch_size",
    "Items that one stage did at once.",
    ("stage",),
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)
QUEUE_LENGTH: Final = Gauge("twin_embedder_queue_length", "Photos that wait to be begun.")
QUEUE_SECONDS: Final = Histogram(
    "twin_embedder_queue_seconds",
    "Seconds that a photo waited to be begun.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
IMAGES: Final = Counter("twin_embedder_images_total", "Images worked on, by outcome.", ("outcome",))
FACES_OF_IMAGE: Final = Histogram(
    "twin_embedder_image_faces", "Faces found in one image.", buckets=(1, 2, 3, 5, 10, 20, 50, 100, 200, 500)
)
VECTORS: Final = Counter("twin_embedder_vectors_total", "Faces embedded.")
REFUSED: Final = Counter("twin_embedder_refused_total", "Calls and photos refused, by reason.", ("reason",))
DECODERS_LOST: Final = Counter("twin_embedder_decoders_lost_total", "Decoder processes that an image crashed or hung.")
MODEL: Final = Info("twin_embedder_model", "The serving model, and what runs it.")
