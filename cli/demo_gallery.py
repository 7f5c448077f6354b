"""The demo gallery: every face of the Fifth Solvay Conference's photograph (1927), each with its name."""

import uuid
from collections.abc import Sequence
from typing import Final

import grpc.aio
from twin.face.v1 import face_pb2
from twin.gateway.v1 import gateway_pb2, gateway_pb2_grpc

from cli.settings import ClientSettings

COLLECTION: Final = "Solvay Conference, 1927"
PHOTO_NAME: Final = "solvay_conference_1927.jpg"
# The same photo always has the same id, so that loading it again changes nothing.
PHOTO_ID: Final = str(uuid.uuid5(uuid.NAMESPACE_URL, "find-your-twin/demo/solvay-conference-1927"))

# Who sits where, as the photograph's caption has it, and the middle of each face as a share of the photo's width and
# height, measured on the photograph.
PEOPLE: Final[tuple[tuple[str, float, float], ...]] = (
    # Back row, from the left.
    ("Auguste Piccard", 0.1695, 0.3735),
    ("Émile Henriot", 0.2430, 0.4039),
    ("Paul Ehrenfest", 0.2942, 0.4321),
    ("Édouard Herzen", 0.3768, 0.4268),
    ("Théophile de Donder", 0.4682, 0.4368),
    ("Erwin Schrödinger", 0.5435, 0.4121),
    ("Jules-Émile Verschaffelt", 0.6273, 0.4191),
    ("Wolfgang Pauli", 0.7084, 0.4139),
    ("Werner Heisenberg", 0.7782, 0.4089),
    ("Ralph Fowler", 0.8318, 0.3692),
    ("Léon Brillouin", 0.8795, 0.4106),
    # Middle row.
    ("Peter Debye", 0.0607, 0.5003),
    ("Martin Knudsen", 0.1509, 0.5211),
    ("William Lawrence Bragg", 0.2525, 0.5046),
    ("Hendrik Kramers", 0.3642, 0.5053),
    ("Paul Dirac", 0.4829, 0.4948),
    ("Arthur Compton", 0.5703, 0.4968),
    ("Louis de Broglie", 0.6643, 0.5071),
    ("Max Born", 0.7730, 0.5111),
    ("Niels Bohr", 0.8736, 0.5204),
    # Front row.
    ("Irving Langmuir", 0.0921, 0.5499),
    ("Max Planck", 0.1972, 0.5558),
    ("Marie Curie", 0.3000, 0.5505),
    ("Hendrik Lorentz", 0.4126, 0.5606),
    ("Albert Einstein", 0.5447, 0.5458),
    ("Paul Langevin", 0.6352, 0.5484),
    ("Charles-Eugène Guye", 0.7172, 0.5472),
    ("Charles Wilson", 0.8326, 0.5569),
    ("Owen Richardson", 0.9109, 0.5747),
)
# Half a face's width: neighbours are at least four times as far apart.
_TOLERANCE: Final = 0.012
_TIMEOUT_S: Final = 60.0


def names_by_face(faces: Sequence[face_pb2.Face], image_width: int, image_height: int) -> dict[int, str]:
    """Returns the name of each face by its index, matched by where it is in the photo."""
    names: dict[int, str] = {}
    for face in faces:
        x = (face.box.left + face.box.width / 2) / image_width
        y = (face.box.top + face.box.height / 2) / image_height
        name, near_x, near_y = min(PEOPLE, key=lambda person: (person[1] - x) ** 2 + (person[2] - y) ** 2)
        if abs(near_x - x) <= _TOLERANCE and abs(near_y - y) <= _TOLERANCE * image_width / image_height:
            names[face.index] = name
    return names


async def load(channel: grpc.aio.Channel, settings: ClientSettings, image: bytes) -> int:
    """Adds the photograph to the default gallery, unless it is there; returns how many faces it gave.

    Raises grpc.RpcError when a service fails.
    """
    stub = gateway_pb2_grpc.TwinServiceStub(channel)
    found = await stub.DetectFaces(gateway_pb2.DetectFacesRequest(image=image), timeout=_TIMEOUT_S)
    answer = await stub.AddPhoto(
        gateway_pb2.AddPhotoRequest(
            image=image,
            original_filename=PHOTO_NAME,
            collection=COLLECTION,
            photo_id=PHOTO_ID,
            all_faces=True,
            keep_duplicate=True,
            persons=names_by_face(found.faces, found.image_width, found.image_height),
        ),
        timeout=_TIMEOUT_S,
        metadata=settings.admin_metadata(),
    )
    return len(answer.faces)
