"""What a catalog tells of its faces, beside what it was told."""

from typing import TypeAlias

from vectorstore.catalog import Catalog
from vectorstore.catalog_face import CatalogFace, ShownFace

# A face, and when its photo was added, in microseconds since 1970.
Told: TypeAlias = tuple[ShownFace, int]


def told(catalog: Catalog) -> list[Told]:
    """Returns every living face, by id."""
    state = catalog.state()
    times_us = state.photo_times[state.photo_of][state.alive]
    return list(zip(catalog.show_all(catalog.live_ids()), times_us.tolist(), strict=True))


def as_told(faces: list[CatalogFace]) -> list[Told]:
    """Returns what a catalog that was given these faces is to tell."""
    return [
        (
            ShownFace(
                face.face_id,
                str(face.photo_id),
                face.box,
                face.person,
                face.collection,
                face.source.store,
                face.source.key,
            ),
            face.create_time_us,
        )
        for face in faces
    ]
