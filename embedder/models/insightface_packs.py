"""InsightFace's own packs, pulled by the insightface package's own downloader."""

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from embedder.models.archives import Progress
from embedder.models.layout import manifest_of_folder
from embedder.models.make import write_manifest
from runtime.errors import StartupError

INSIGHTFACE_PACKS: Final = ("buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc", "antelopev2")
INSIGHTFACE_LICENSE: Final = (
    "InsightFace's pretrained weights are for non-commercial research only; other uses need a licence from InsightFace."
)
_ACCEPTANCE_NAME: Final = "license-accepted.txt"


def make_insightface_pack(pack: str, folder: Path, progress: Progress) -> None:
    """Fills folder, which must be empty, with one of InsightFace's packs and the record that its licence was accepted.

    Raises StartupError when the insightface package is not installed or its downloader fails.
    """
    try:
        from insightface.utils import storage
    except ImportError as error:
        raise StartupError(f"the insightface package pulls {pack}; install it, or take the starter pack") from error
    progress(f"fetching {pack} with the insightface package")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as temporary:
        try:
            downloaded = Path(storage.download("models", pack, root=temporary))
        except Exception as error:  # The downloader raises whatever its HTTP library does.
            raise StartupError(f"the insightface package could not fetch {pack}; is its server reachable?") from error
        # Some archives hold a folder of their own name, others the files alone.
        graphs = sorted(downloaded.rglob("*.onnx"))
        for graph in graphs:
            shutil.move(graph, folder / graph.name)
    write_manifest(folder, manifest_of_folder(folder, pack, INSIGHTFACE_LICENSE))
    accepted = f"{datetime.now(UTC).isoformat(timespec='seconds')}: accepted: {INSIGHTFACE_LICENSE}\n"
    (folder / _ACCEPTANCE_NAME).write_text(accepted, encoding="utf-8")
