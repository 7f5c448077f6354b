"""What loading the networks leaves behind on the machine."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
from embedder.engine import load_model
from embedder.settings import EmbedderSettings
load_model(EmbedderSettings())
"""


def test_no_usage_telemetry_is_set_up(tmp_path: Path, models_dir: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))} | {
        "HOME": str(tmp_path),
        "TWIN_MODELS_DIR": str(models_dir),
    }
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, timeout=60)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
