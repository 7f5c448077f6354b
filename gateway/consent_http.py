"""GET /consent and /consent/<version>: what people agree to when a photo is kept."""

from aiohttp import web

from gateway.consent_texts import ORIGINAL_LANGUAGE, ConsentTexts, language_of


def add_consent_routes(app: web.Application, consent: ConsentTexts) -> None:
    """Serves the current text as JSON {version, language, text}, and every version as plain text.

    With ?language=de, the current text in that language, where there is one.
    """

    async def current(request: web.Request) -> web.Response:
        version = consent.current_in(request.query.get("language", ORIGINAL_LANGUAGE))
        body = {"version": version, "language": language_of(version), "text": consent.texts[version]}
        return web.json_response(body, headers={"Cache-Control": "no-cache"})

    async def one(request: web.Request) -> web.Response:
        text = consent.texts.get(request.match_info["version"])
        if text is None:
            raise web.HTTPNotFound
        return web.Response(text=text)

    app.router.add_get("/consent", current)
    app.router.add_get("/consent/{version}", one)
