"""SHA-256 of files and of the numbers that make vectors comparable."""

import hashlib
from pathlib import Path
from typing import Final

from embedder.models.manifest import Manifest

PREPROCESSING_VERSION: Final = 2
"""Raised whenever decoding, detection or alignment change a photo's vector: old vectors no longer match."""

_ID_DIGITS: Final = 16


def sha256_of(data: bytes) -> str:
    """Returns 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Returns 64 hexadecimal digits; raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model_id_of(manifest: Manifest, *, flip_averaging: bool = False) -> str:
    """Names the model: the pack and a hash over both original files and everything that happens before them.

    flip_averaging: vectors are those of a face and its mirror image together. The original files count, not the
    rewritten ones: a rewriting gives the same vectors, and may change.
    """
    parts = [str(PREPROCESSING_VERSION), *(["flip"] if flip_averaging else [])]
    for network in (manifest.detector, manifest.recognizer):
        parts += [network.source_sha256, str(network.mean), str(network.scale), network.channel_order]
    return f"{manifest.name}-{sha256_of(' '.join(parts).encode())[:_ID_DIGITS]}"
