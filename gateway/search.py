"""Searching: faces into vectors, the vectors' neighbours out of the gallery, and the photo kept if that was wished."""

from dataclasses import dataclass

from gateway.deadlines import TimeLeft
from gateway.embedder_client import Embedder
from gateway.keep import Keeper, Kept
from gateway.orders import FaceSelection, KeepOrder, SearchOrder
from gateway.records import Analysis, FoundFace, Neighbours
from gateway.vectorstore_client import VectorStore
from runtime.errors import NoFaceFound


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    """What was found, for each face searched in the order of the photo, and how keeping the photo went."""

    analysis: Analysis
    results: tuple[tuple[FoundFace, Neighbours], ...]
    kept: Kept | None = None
    keep_error: Exception | None = None


class Searcher:
    """Searches with photos."""

    def __init__(
        self,
        embedder: Embedder,
        vectors: VectorStore,
        keeper: Keeper,
        *,
        embed_timeout_s: float,
        store_timeout_s: float,
    ) -> None:
        self._embedder = embedder
        self._vectors = vectors
        self._keeper = keeper
        self._embed_timeout_s = embed_timeout_s
        self._store_timeout_s = store_timeout_s

    async def search(self, order: SearchOrder, time_left: TimeLeft) -> SearchOutcome:
        """Returns the twins of the chosen face or faces. The photo is kept only with consent, and after the search.

        Raises NoFaceFound and whatever the embedder and the vector store say; a failure to keep the photo is part
        of the outcome instead.
        """
        analysis = await self._embedder.embed(order.image, order.faces, time_left(self._embed_timeout_s))
        faces = analysis.embedded
        if not faces:
            raise NoFaceFound
        neighbours = await self._vectors.search(
            order.gallery,
            [face.embedding for face in faces if face.embedding is not None],
            limit=order.limit,
            mode=order.mode,
            min_similarity=order.min_similarity,
            timeout_s=time_left(self._store_timeout_s),
        )
        results = tuple(zip(faces, neighbours, strict=True))
        if order.consent is None:
            return SearchOutcome(analysis, results)
        selection = order.faces if order.faces.all_faces else FaceSelection(face_index=faces[0].index)
        to_keep = KeepOrder(
            gallery=order.gallery,
            image=order.image,
            faces=selection,
            consent=order.consent,
            original_filename=order.original_filename,
        )
        try:
            kept = await self._keeper.keep(to_keep, time_left, needs_consent=True)
        except Exception as error:
            return SearchOutcome(analysis, results, keep_error=error)
        return SearchOutcome(analysis, results, kept=kept)
