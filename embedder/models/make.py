"""Makes a pack's folder: fetch, check, rewrite, prove, and only then put it in place."""

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from embedder.models.archives import Member, Progress, extract_members, fetch_archive
from embedder.models.definition import PackDefinition
from embedder.models.digest import sha256_of
from embedder.models.manifest import MANIFEST_NAME, Manifest, manifest_text
from embedder.models.prove import prove_rewrites
from embedder.models.rewrite import rewrite_attribute, rewrite_detector, rewrite_recognizer
from runtime.errors import StartupError

_REWRITES: Final = {
    "detector": rewrite_detector,
    "recognizer": rewrite_recognizer,
    "age": rewrite_attribute,
    "gender": rewrite_attribute,
}
_LOCK_TIMEOUT_S: Final = 900.0
_LOCK_POLL_S: Final = 0.2


def make_starter(definition: PackDefinition, folder: Path, earlier: Path, progress: Progress) -> None:
    """Fills folder, which must be empty, with the pack; raises StartupError.

    Originals that are intact in the earlier folder, if there is one, are not fetched again: then a newer version of
    this program, or a repair, needs no network.
    """
    for archive in definition.archives:
        if _copy_intact(archive.members, earlier, folder):
            continue
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
            extract_members(fetch_archive(archive, Path(temporary), progress), archive.members, folder)
    progress("rewriting the networks and proving them equal to the originals")
    manifest = definition.manifest
    digests: dict[str, str] = {}
    for section, network in manifest.networks.items():
        graph = _REWRITES[section]((folder / network.source).read_bytes())
        (folder / network.file).write_bytes(graph)
        digests[section] = sha256_of(graph)
    completed = definition.completed(digests)
    prove_rewrites(folder, completed, folder / manifest.photos[0][0])
    write_manifest(folder, completed)


def _copy_intact(members: tuple[Member, ...], earlier: Path, folder: Path) -> bool:
    """Copies the members from an earlier folder; returns False, with nothing copied, unless all are intact there."""
    try:
        contents = [(earlier / member.place).read_bytes() for member in members]
    except OSError:
        return False
    if any(sha256_of(data) != member.sha256 for member, data in zip(members, contents, strict=True)):
        return False
    for member, data in zip(members, contents, strict=True):
        place = folder / member.place
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return True


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes manifest.toml into the folder."""
    (folder / MANIFEST_NAME).write_text(manifest_text(manifest), encoding="utf-8")


@contextmanager
def pack_lock(models_dir: Path, pack: str, progress: Progress) -> Iterator[None]:
    """Holds the pack's lock, so that two pulls at once do the work once. Raises StartupError after 15 minutes."""
    models_dir.mkdir(parents=True, exist_ok=True)
    with (models_dir / f".{pack}.lock").open("w") as file:
        give_up = time.monotonic() + _LOCK_TIMEOUT_S
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise StartupError(f"another pull of {pack} does not end; stop it and run again") from None
                if not told:
                    progress(f"waiting for another pull of {pack}")
                    told = True
                time.sleep(_LOCK_POLL_S)
        yield


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Gives an empty folder beside the named one, and puts it in its place when the block ends without an error.

    A pull that dies leaves the old pack as it was; what it left behind is swept by the next one, under its lock.
    """
    for remains in folder.parent.glob(f".{folder.name}.new-*"):
        shutil.rmtree(remains, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.new-"))
    try:
        yield fresh
        fresh.chmod(0o755)
        if folder.exists():
            # A folder cannot be exchanged in one step everywhere; the short gap shows as "not there", never as half.
            old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.new-old-"))
            folder.rename(old / folder.name)
            fresh.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        else:
            fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
