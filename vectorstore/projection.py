"""All galleries in memory: the disposable projection of PostgreSQL that searches read."""

from runtime.errors import NotFound
from vectorstore.gallery_view import GalleryView


class Projection:
    """The galleries by name and by id. Changed by the follower, on the event loop; read by everyone."""

    def __init__(self) -> None:
        self._by_id: dict[int, GalleryView] = {}
        self._by_name: dict[str, GalleryView] = {}

    def put(self, view: GalleryView) -> None:
        """Shows a gallery; one of the same name that was dropped meanwhile gives way."""
        self._by_id[view.gallery.gallery_id] = view
        self._by_name[view.gallery.name] = view

    def drop(self, gallery_id: int) -> GalleryView | None:
        """Hides a gallery, and returns it if it was there."""
        view = self._by_id.pop(gallery_id, None)
        if view is not None and self._by_name.get(view.gallery.name) is view:
            del self._by_name[view.gallery.name]
        return view

    def get(self, name: str) -> GalleryView:
        """Returns a gallery; raises NotFound."""
        try:
            return self._by_name[name]
        except KeyError:
            raise NotFound("gallery") from None

    def find(self, gallery_id: int) -> GalleryView | None:
        """Returns a gallery by its id, None when it is not there."""
        return self._by_id.get(gallery_id)

    def views(self) -> list[GalleryView]:
        """Returns the galleries by name."""
        return [view for _, view in sorted(self._by_name.items())]
