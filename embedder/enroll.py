"""enroll: one photo with its image becomes one photo with its faces, in the vector store."""

import asyncio
import hashlib
import uuid
from collections.abc import Awaitable, Callable, Container, Iterable
from types import TracebackType
from typing import Final

from twin.embedder.v1 import embedder_pb2
from twin.vectorstore.v1 import vectorstore_pb2

from embedder import metrics
from embedder.convert import to_face, to_selection
from embedder.faces import AnalyzedImage, Face, FaceChoice, Selection
from embedder.quality import STRICT, QualityLimits, issues_of, shortcomings_of
from embedder.store_link import StoreLink
from runtime.errors import FaceIndexOutOfRange, InvalidField, LowQuality
from runtime.names import check_gallery_name, check_photo_id

_SHA256_BYTES: Final = 32

Embed = Callable[[bytes, Selection], Awaitable[AnalyzedImage]]


class Enrolment:
    """One Enroll call. A context manager: leaving it ends the link to the vector store."""

    def __init__(self, link: StoreLink, strict_limits: QualityLimits = STRICT) -> None:
        """strict_limits: what a face must pass to be enrolled."""
        self._link = link
        self._strict_limits = strict_limits

    async def __aenter__(self) -> "Enrolment":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._link.close()

    async def enroll(
        self, request: embedder_pb2.EnrollRequest, embed: Embed, model_id: str
    ) -> embedder_pb2.EnrollResponse:
        """Checks, embeds and adds one photo; answers once it is durable and found by the next search.

        Raises InvalidField, LowQuality, what embedding raises, and what the link to the vector store raises.
        """
        selection = check_request(request)
        analyzed = await embed(request.image, selection)
        _check_persons(request, analyzed)
        try:
            faces = fit_faces(analyzed, selection, request.persons, self._strict_limits)
        except LowQuality:
            metrics.REFUSED.labels("low_quality").inc()
            raise
        photo = photo_with_faces(request, analyzed, faces, model_id)
        if not photo.sha256:
            photo.sha256 = await asyncio.to_thread(lambda: hashlib.sha256(request.image).digest())
        gallery = check_gallery_name(request.gallery)
        answer = await self._link.add(
            vectorstore_pb2.AddPhotosRequest(
                gallery=gallery, photo=photo, refuse_duplicate_faces=request.refuse_duplicate_faces
            )
        )
        if answer.WhichOneof("result") == "error":
            return embedder_pb2.EnrollResponse(photo_id=photo.photo_id, error=answer.error)
        return embedder_pb2.EnrollResponse(photo_id=photo.photo_id, photo=answer.photo)


def check_request(request: embedder_pb2.EnrollRequest) -> Selection:
    """Checks every field before any work is done, and returns which faces are meant; raises InvalidField."""
    check_gallery_name(request.gallery)
    photo = request.photo
    if photo.photo_id:
        check_photo_id(photo.photo_id, "photo.photo_id")
    if photo.faces:
        raise InvalidField("photo.faces", "faces are found here, and must not be given")
    if len(photo.sha256) not in (0, _SHA256_BYTES):
        raise InvalidField("photo.sha256", f"is {_SHA256_BYTES} bytes")
    if photo.width < 0 or photo.height < 0:
        raise InvalidField("photo.width" if photo.width < 0 else "photo.height", "is not negative")
    if any(index < 0 for index in request.persons):
        raise InvalidField("persons", "face indices count from 0")
    selection = to_selection(request)
    if selection.face_index is None and selection.choice is FaceChoice.DETECT_ONLY:
        raise InvalidField("faces", "is PRIMARY or ALL: a photo is enrolled with its vectors")
    return selection


def _check_persons(request: embedder_pb2.EnrollRequest, analyzed: AnalyzedImage) -> None:
    """Raises FaceIndexOutOfRange when a person is named for a face that the photo does not have."""
    for index in request.persons:
        if index >= len(analyzed.faces):
            raise FaceIndexOutOfRange(index, len(analyzed.faces), field="persons")


def fit_faces(
    analyzed: AnalyzedImage, selection: Selection, named: Container[int], limits: QualityLimits
) -> list[Face]:
    """Returns the embedded faces that are good enough to be enrolled; there is at least one.

    Of a choice of all, a poor face is left out, unless it is named: whoever gives it a name expects to find it by that.
    Raises LowQuality for a poor face that was meant, and for the best of the faces where all of them are poor.
    """
    embedded = [face for face in analyzed.faces if face.vector is not None]
    fit = [face for face in embedded if not issues_of(face.quality, limits)]
    poor = [face for face in embedded if issues_of(face.quality, limits)]
    takes_all = selection.face_index is None and selection.choice is FaceChoice.ALL
    meant = [face for face in poor if not takes_all or face.index in named]
    if meant:
        raise _low_quality(meant[0], limits)
    if not fit:
        raise _low_quality(max(poor, key=lambda face: face.quality.score), limits)
    return fit


def _low_quality(face: Face, limits: QualityLimits) -> LowQuality:
    issues = [issue.name for issue in issues_of(face.quality, limits)]
    return LowQuality(face.index, issues, shortcomings_of(face.quality, limits))


def photo_with_faces(
    request: embedder_pb2.EnrollRequest, analyzed: AnalyzedImage, faces: Iterable[Face], model_id: str
) -> vectorstore_pb2.Photo:
    """Builds the photo to store: the caller's, with what it lacks filled in and these of its faces."""
    photo = vectorstore_pb2.Photo()
    photo.CopyFrom(request.photo)
    # One spelling: the vector store answers by the id as it writes it.
    photo.photo_id = check_photo_id(photo.photo_id) if photo.photo_id else str(uuid.uuid4())
    photo.width = photo.width or analyzed.width
    photo.height = photo.height or analyzed.height
    for face in faces:
        photo.faces.add(face=to_face(face, model_id), person=request.persons.get(face.index, ""))
    return photo
