"""The one error tree: every failure that a caller is told about, with its status and reason.

runtime/status.py puts them on the wire.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import grpc
from google.rpc import status_pb2


def forget_frames(error: BaseException) -> None:
    """Takes the call frames off an error that was dealt with, and off those that it came from.

    They hold what the functions worked on, a photo and its pixels, until a cycle between them is collected.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = None
            waiting += [one.__cause__, one.__context__]


class StartupError(Exception):
    """Stops a start with one line that says what is wrong and what to do."""


class TwinError(Exception):
    """A failure that a caller is told about; its message must hold nothing private."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    reason: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        field: str | None = None,
        retry_delay_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})
        self.field = field
        self.retry_delay_s = retry_delay_s


class NoFaceFound(TwinError):
    """The image was read, and no face was found in it."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "NO_FACE"

    def __init__(self, message: str = "no face was found in the image") -> None:
        super().__init__(message)


class LowQuality(TwinError):
    """A face was found, and it is too poor to be enrolled."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "LOW_QUALITY"

    def __init__(self, face_index: int, issues: Sequence[str], shortcomings: Sequence[str]) -> None:
        """issues: names of twin.face.v1.QualityIssue without their prefix; shortcomings: the same in words."""
        message = f"face {face_index} is too poor to be enrolled: {'; '.join(shortcomings)}"
        super().__init__(message, metadata={"issues": ",".join(issues), "face_index": str(face_index)})


class UnreadableImage(TwinError):
    """The bytes are no image that the service reads."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "UNREADABLE_IMAGE"

    def __init__(self, message: str, *, detected_type: str = "unknown", field: str = "image") -> None:
        super().__init__(message, metadata={"detected_type": detected_type}, field=field)


class ImageTooLarge(TwinError):
    """The image has too many bytes or pixels."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "IMAGE_TOO_LARGE"

    def __init__(self, *, limit: int, actual: int, unit: str, field: str = "image") -> None:
        message = f"the image has {actual:,} {unit}; at most {limit:,} are read"
        super().__init__(message, metadata={"limit": str(limit), "actual": str(actual), "unit": unit}, field=field)


class FaceIndexOutOfRange(TwinError):
    """The named face index does not exist."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "FACE_INDEX_OUT_OF_RANGE"

    def __init__(self, index: int, face_count: int, *, field: str = "face_index") -> None:
        message = f"face {index} was asked for and the image has {face_count} faces, counted from 0"
        super().__init__(message, metadata={"face_count": str(face_count)}, field=field)


class InvalidField(TwinError):
    """A field is missing or out of range."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_FIELD"

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}", field=field)


class ModelMismatch(TwinError):
    """The vector comes from another model than the gallery's."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "MODEL_MISMATCH"

    def __init__(self, *, expected: str, actual: str) -> None:
        message = f"the gallery holds vectors of model {expected!r}, not of {actual!r}"
        super().__init__(message, metadata={"expected": expected, "actual": actual})


class NotFound(TwinError):
    """No such gallery, photo or face; a wrong deletion token looks the same."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "NOT_FOUND"

    def __init__(self, what: str) -> None:
        super().__init__(f"no such {what}")


class DuplicatePhoto(TwinError):
    """The same photo is in the gallery, or one of the same face, or the photo_id names other content."""

    code = grpc.StatusCode.ALREADY_EXISTS
    reason = "DUPLICATE_PHOTO"

    def __init__(
        self,
        photo_id: str,
        message: str = "the same photo is in the gallery already; its deletion token exports or deletes it",
        *,
        cosine: float | None = None,
    ) -> None:
        """photo_id: of the one that is there; cosine: of its face to this one's, where it is told by that."""
        metadata = {"photo_id": photo_id} | ({"cosine": f"{cosine:.4f}"} if cosine is not None else {})
        super().__init__(message, metadata=metadata)


class Overloaded(TwinError):
    """The queue is full."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "OVERLOADED"

    def __init__(self, retry_delay_s: float = 1.0) -> None:
        super().__init__("the service has all the work that it can take", retry_delay_s=retry_delay_s)


class RateLimited(TwinError):
    """This caller is over its rate."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "RATE_LIMITED"

    def __init__(self, retry_delay_s: float = 1.0) -> None:
        super().__init__("too many calls", retry_delay_s=retry_delay_s)


class StorageFull(TwinError):
    """A disk or a quota is full; reading goes on."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "OVERLOADED"

    def __init__(self, message: str = "the storage is full") -> None:
        super().__init__(message, retry_delay_s=60.0)


class DependencyUnavailable(TwinError):
    """A store or a peer behind the service does not answer."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "DEPENDENCY_UNAVAILABLE"

    def __init__(self, dependency: str, retry_delay_s: float = 1.0, message: str = "") -> None:
        metadata = {"dependency": dependency}
        super().__init__(message or f"{dependency} does not answer", metadata=metadata, retry_delay_s=retry_delay_s)


class UnknownKey(TwinError):
    """No key, or one that is not known."""

    code = grpc.StatusCode.UNAUTHENTICATED
    reason = "UNKNOWN_KEY"

    def __init__(self) -> None:
        super().__init__("the key is not known")


class RoleMissing(TwinError):
    """The key lacks the role or the gallery."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason = "ROLE_MISSING"

    def __init__(self, required_role: str) -> None:
        super().__init__(f"the {required_role} role is needed", metadata={"required_role": required_role})


class ConsentMissing(TwinError):
    """Saving was asked for without a consent record."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "CONSENT_MISSING"

    def __init__(self) -> None:
        super().__init__("a photo is kept only with the consent of the person who gives it")


class NotReady(TwinError):
    """The service is still loading models or its index, or is shutting down."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "NOT_READY"

    def __init__(self, message: str = "the service is starting", retry_delay_s: float = 1.0) -> None:
        super().__init__(message, retry_delay_s=retry_delay_s)


class DeadlineExceeded(TwinError):
    """The caller's deadline passed before the work was done."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED

    def __init__(self, message: str = "the deadline passed") -> None:
        super().__init__(message)


class CallerGone(TwinError):
    """The caller cancelled."""

    code = grpc.StatusCode.CANCELLED

    def __init__(self, message: str = "the caller is gone") -> None:
        super().__init__(message)


class PeerError(TwinError):
    """A peer's own answer, handed on as it is."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status
