"""GET /consent and /consent/<version>: what people agree to when a photo is kept."""

from aiohttp import web

from gateway.consent_texts import ConsentTexts


def add_consent_routes(app: web.Application, consent: ConsentTexts) -> None:
    """Serves the current text as JSON {version, text}, and every version as plain text."""

    async def current(_request: web.Request) -> web.Response:
        version = consent.current_version
        body = {"version": version, "text": consent.texts[version]}
        return web.json_response(body, headers={"Cache-Control": "no-cache"})

    async def one(request: web.Request) -> web.Response:
        text = consent.texts.get(request.match_info["version"])
        if text is None:
            raise web.HTTPNotFound
        return web.Response(text=text)

    app.router.add_get("/consent", current)
    app.router.add_get("/consent/{version}", one)
