"""The page's files, and the headers that keep a browser from doing with them what was not meant."""

from pathlib import Path
from typing import Final

from aiohttp import web

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; "
        "media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; worker-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_NOT_BUILT: Final = "The page is not built: run `make setup`, or set TWIN_WEB_DIR to the folder of a built one.\n"
# The build puts a hash of the content into these files' names.
_HASHED_FOLDER: Final = "assets"


def find_web_dir(given: Path | None) -> Path | None:
    """Returns the folder of the built page: the given one, the repository's, or the package's own; None without one."""
    package = Path(__file__).resolve().parent
    folders = [given.expanduser()] if given is not None else [package.parent / "web" / "dist", package / "static"]
    return next((folder.resolve() for folder in folders if (folder / "index.html").is_file()), None)


def add_security_headers(app: web.Application) -> None:
    """Adds the headers to every response that does not bring its own."""

    async def add(_request: web.Request, response: web.StreamResponse) -> None:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)

    app.on_response_prepare.append(add)


def add_page_routes(app: web.Application, folder: Path | None) -> None:
    """Serves the page at "/" and its files beside it."""

    async def serve(request: web.Request) -> web.StreamResponse:
        name = request.match_info["path"] or "index.html"
        if folder is None:
            if name != "index.html":
                raise web.HTTPNotFound
            return web.Response(status=503, text=_NOT_BUILT, headers={"Cache-Control": "no-store"})
        path = _inside(folder, name)
        if path is None:
            raise web.HTTPNotFound
        hashed = path.relative_to(folder).parts[0] == _HASHED_FOLDER
        caching = "public, max-age=31536000, immutable" if hashed else "no-cache"
        return web.FileResponse(path, headers={"Cache-Control": caching})

    app.router.add_get("/{path:.*}", serve)


def _inside(folder: Path, name: str) -> Path | None:
    """Returns the file of that name, or None unless it lies in the folder and is not hidden."""
    try:
        path = (folder / name).resolve()
        found = path.is_relative_to(folder) and path.is_file()
    except (OSError, ValueError):
        return None
    if not found or any(part.startswith(".") for part in path.relative_to(folder).parts):
        return None
    return path
