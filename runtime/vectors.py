"""Vectors on the wire: little-endian float32, unit length."""

import numpy as np
import numpy.typing as npt

from runtime.errors import InvalidField

# A unit vector that went through float16 once is still within this of length 1.
NORM_TOLERANCE = 0.0002

Vector = npt.NDArray[np.float32]


def decode_vector(data: bytes, dimension: int, field: str = "embedding") -> Vector:
    """Returns a (dimension,) float32 unit vector; raises InvalidField for a wrong size, NaN, Inf or another length."""
    if len(data) != dimension * 4:
        raise InvalidField(field, f"expected {dimension} × 4 bytes of float32, got {len(data)} bytes")
    vector = np.frombuffer(data, dtype="<f4").astype(np.float32)
    # One look is enough for nearly all: NaN and Inf stay what they are in the sum, and fail the comparison.
    with np.errstate(over="ignore", invalid="ignore"):
        is_right = abs(float(vector.dot(vector)) - 1) <= NORM_TOLERANCE
    if is_right:
        return vector
    if not np.isfinite(vector).all():
        raise InvalidField(field, "holds NaN or Inf")
    norm = float(np.linalg.norm(vector.astype(np.float64)))
    if norm == 0:
        raise InvalidField(field, "is all zeros")
    if abs(norm - 1) > NORM_TOLERANCE:
        raise InvalidField(field, f"its L2 norm is {norm:.4f}, not 1")
    return vector


def encode_vector(vector: Vector) -> bytes:
    """Returns a (dimension,) vector as little-endian float32 bytes."""
    return np.ascontiguousarray(vector, dtype="<f4").tobytes()
