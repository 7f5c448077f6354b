"""enroll: one photo with its image becomes one photo with its faces, in the vector store."""

import hashlib
import uuid
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final

from twin.embedder.v1 import embedder_pb2
from twin.vectorstore.v1 import vectorstore_pb2

from embedder.convert import to_face, to_selection
from embedder.faces import AnalyzedImage, FaceChoice, Selection
from embedder.store_link import StoreLink
from runtime.errors import FaceIndexOutOfRange, InvalidField
from runtime.names import check_gallery_name, parse_photo_id

_SHA256_BYTES: Final = 32

Embed = Callable[[bytes, Selection], Awaitable[AnalyzedImage]]


class Enrolment:
    """One Enroll call. A context manager: leaving it ends the link to the vector store."""

    def __init__(self, link: StoreLink) -> None:
        self._link = link

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

        Raises InvalidField, what embedding raises, and what the link to the vector store raises.
        """
        selection = check_request(request)
        analyzed = await embed(request.image, selection)
        photo = photo_with_faces(request, analyzed, model_id)
        gallery = check_gallery_name(request.gallery)
        answer = await self._link.add(vectorstore_pb2.AddPhotosRequest(gallery=gallery, photo=photo))
        if answer.WhichOneof("result") == "error":
            return embedder_pb2.EnrollResponse(photo_id=photo.photo_id, error=answer.error)
        return embedder_pb2.EnrollResponse(photo_id=photo.photo_id, photo=answer.photo)


def check_request(request: embedder_pb2.EnrollRequest) -> Selection:
    """Checks every field before any work is done, and returns which faces are meant; raises InvalidField."""
    check_gallery_name(request.gallery)
    photo = request.photo
    if photo.photo_id:
        parse_photo_id(photo.photo_id, "photo.photo_id")
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


def photo_with_faces(
    request: embedder_pb2.EnrollRequest, analyzed: AnalyzedImage, model_id: str
) -> vectorstore_pb2.Photo:
    """Builds the photo to store: the caller's, with what it lacks filled in and the embedded faces.

    Raises FaceIndexOutOfRange when a person is named for a face that the photo does not have.
    """
    for index in request.persons:
        if index >= len(analyzed.faces):
            raise FaceIndexOutOfRange(index, len(analyzed.faces), field="persons")
    photo = vectorstore_pb2.Photo()
    photo.CopyFrom(request.photo)
    # One spelling: the vector store answers by the id as it writes it.
    photo.photo_id = str(parse_photo_id(photo.photo_id)) if photo.photo_id else str(uuid.uuid4())
    photo.sha256 = photo.sha256 or hashlib.sha256(request.image).digest()
    photo.width = photo.width or analyzed.width
    photo.height = photo.height or analyzed.height
    for face in analyzed.faces:
        if face.vector is not None:
            person = request.persons.get(face.index, "")
            photo.faces.add(face=to_face(face, model_id), person=person)
    return photo
