"""Secrets that a service keeps in a file of its own."""

import os
import secrets
from pathlib import Path

from runtime.errors import StartupError

KEY_BYTES = 32


def load_or_create_key(path: Path) -> bytes:
    """Returns the 32-byte key in the file, written as hexadecimal text; makes it, for its owner alone, when missing.

    Raises StartupError when the file holds something else.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    if not path.exists():
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # Fails when another process was first: its key holds then.
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    try:
        key = bytes.fromhex(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise StartupError(
            f"{path} is no key of {KEY_BYTES} bytes in hexadecimal; move it away to have a new one made"
        ) from error
    if len(key) != KEY_BYTES:
        raise StartupError(f"{path} is no key of {KEY_BYTES} bytes in hexadecimal; move it away to have a new one made")
    return key
