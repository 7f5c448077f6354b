"""The emulator on a port, in a thread of its own."""

import asyncio
import json
import threading
from types import TracebackType
from typing import Any

from aiohttp import web

from tests.drive_emulator.app import make_app
from tests.drive_emulator.drive import Drive
from tests.drive_emulator.faults import Faults
from tests.drive_emulator.tokens import Tokens


class DriveEmulator:
    """A Drive to talk to: `with DriveEmulator() as drive:`. Its parts may be read and changed while it runs."""

    def __init__(self, *, port: int = 0, seed: int = 0) -> None:
        self.drive = Drive()
        self.tokens = Tokens()
        self.faults = Faults(seed)
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="drive-emulator", daemon=True)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def token_json(self, *scopes: str) -> str:
        """What a sign-in leaves: a file for the gateway."""
        return json.dumps(
            {
                "type": "authorized_user",
                "client_id": "client.apps.example.com",
                "client_secret": "a-client-secret",
                "refresh_token": self.tokens.grant(*scopes),
                "token_uri": f"{self.url}/token",
            }
        )

    def down(self) -> None:
        """Nothing listens any more, and connections that are open end."""
        self._call(self._stop())

    def up(self) -> None:
        """Listens again, on the same port."""
        self._call(self._start())

    def __enter__(self) -> "DriveEmulator":
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        app = make_app(self.drive, self.tokens, self.faults)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)
