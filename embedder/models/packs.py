"""What `twin models list`, `pull` and `verify` do."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from embedder.models.archives import Progress
from embedder.models.definition import STARTER, starter_definition
from embedder.models.digest import model_id_of, sha256_of_file
from embedder.models.insightface_packs import INSIGHTFACE_LICENSE, INSIGHTFACE_PACKS, make_insightface_pack
from embedder.models.load import manifest_of, pack_folder
from embedder.models.make import make_starter, pack_lock, replacing
from runtime.errors import StartupError


class PackState(Enum):
    """Whether a pack can be served."""

    READY = "ready"
    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class PackSummary:
    """One pack for people to read. model_id and size_bytes are empty and 0 unless it is ready; note says what to do."""

    name: str
    state: PackState
    license: str
    model_id: str = ""
    size_bytes: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class FileCheck:
    """One file of a pack. problem is empty when its SHA-256 is right."""

    file: str
    problem: str

    @property
    def ok(self) -> bool:
        """True when the file is what the pack says."""
        return not self.problem


class LicenseNotAccepted(StartupError):
    """A pack's licence must be accepted before it is pulled; license_text holds it."""

    def __init__(self, pack: str, license_text: str) -> None:
        super().__init__(f"{pack} is pulled only once its licence is accepted, with --accept-license: {license_text}")
        self.license_text = license_text


def list_packs(models_dir: Path) -> list[PackSummary]:
    """Lists the packs that can be pulled, and every further folder of models_dir that holds networks."""
    names = [STARTER, *INSIGHTFACE_PACKS]
    if models_dir.is_dir():
        own = (path.name for path in models_dir.iterdir() if path.is_dir() and not path.name.startswith("."))
        names += sorted(name for name in own if name not in names and any((models_dir / name).glob("*.onnx")))
    return [_summary(models_dir, name) for name in names]


def pull(pack: str, models_dir: Path, *, accept_license: bool, progress: Progress) -> PackSummary:
    """Brings a pack to models_dir, whole or not at all; at once when it is there and intact.

    Raises LicenseNotAccepted for a pack whose licence needs it, and StartupError when it cannot be had.
    """
    folder = pack_folder(models_dir, pack)
    if pack != STARTER and pack not in INSIGHTFACE_PACKS:
        raise StartupError(f"there is no pack {pack} to pull; run: twin models list")
    with pack_lock(models_dir, pack, progress):
        if not _is_intact(folder, pack):
            if pack in INSIGHTFACE_PACKS and not accept_license:
                raise LicenseNotAccepted(pack, INSIGHTFACE_LICENSE)
            with replacing(folder) as fresh:
                if pack == STARTER:
                    make_starter(starter_definition(), fresh, folder, progress)
                else:
                    make_insightface_pack(pack, fresh, progress)
            progress(f"{pack} is in {folder}")
    return _summary(models_dir, pack)


def verify(pack: str, models_dir: Path) -> list[FileCheck]:
    """Checks every file of a pack against its SHA-256; raises StartupError when the pack or its manifest is missing."""
    folder = pack_folder(models_dir, pack)
    if not folder.is_dir():
        raise StartupError(f"the model pack {pack} is not in {models_dir}; run: twin models pull {pack}")
    return [FileCheck(file, _problem(folder / file, digest)) for file, digest in manifest_of(folder, pack).files]


def _problem(path: Path, sha256: str) -> str:
    try:
        actual = sha256_of_file(path)
    except OSError:
        return "missing"
    return "" if actual == sha256 else "its SHA-256 is another"


def _is_intact(folder: Path, pack: str) -> bool:
    try:
        return all(check.ok for check in verify(pack, folder.parent))
    except StartupError:
        return False


def _summary(models_dir: Path, pack: str) -> PackSummary:
    folder = models_dir / pack
    known_license = starter_definition().manifest.license if pack == STARTER else INSIGHTFACE_LICENSE
    if not folder.is_dir():
        return PackSummary(pack, PackState.MISSING, known_license, note=f"twin models pull {pack}")
    try:
        manifest = manifest_of(folder, pack)
        problems = [check for check in verify(pack, models_dir) if not check.ok]
    except StartupError as error:
        return PackSummary(pack, PackState.DAMAGED, known_license, note=str(error))
    if problems:
        note = f"{problems[0].file}: {problems[0].problem}; run: twin models pull {pack}"
        return PackSummary(pack, PackState.DAMAGED, manifest.license, note=note)
    size_bytes = sum((folder / file).stat().st_size for file, _ in manifest.files)
    return PackSummary(pack, PackState.READY, manifest.license, model_id_of(manifest), size_bytes)
