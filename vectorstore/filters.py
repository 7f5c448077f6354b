"""Which faces of a gallery a search is confined to."""

from dataclasses import dataclass
from datetime import datetime

from vectorstore.catalog import Catalog
from vectorstore.index.base import Ids


@dataclass(frozen=True, slots=True)
class FaceFilter:
    """What a face must be: of one of the collections, of one of the persons, added within a time; empty: whichever.

    added_after is the first moment that counts, added_before the first that does not any more.
    """

    collections: tuple[str, ...] = ()
    persons: tuple[str, ...] = ()
    added_after: datetime | None = None
    added_before: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether every face passes."""
        return not (self.collections or self.persons or self.added_after or self.added_before)

    def select(self, catalog: Catalog) -> Ids | None:
        """Returns the faces that pass, ascending; None for all of them."""
        if self.is_open:
            return None
        return catalog.select(
            collections=self.collections or None,
            persons=self.persons or None,
            added_after=self.added_after,
            added_before=self.added_before,
        )


EVERY_FACE = FaceFilter()
