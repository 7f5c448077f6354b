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


OPEN_A_NETWORK = """
import sys
from pathlib import Path
from embedder.sessions import open_network, provider_of

open_network(Path(sys.argv[1]).read_bytes(), provider_of("openvino"), what="recognizer")
print(sorted(name for name, module in sys.modules.items() if "telemetry" in name and module and "ovc" not in name))
"""


def test_openvino_reports_nothing_and_leaves_nothing_in_the_home_folder(models_dir: Path, tmp_path: Path) -> None:
    graph = models_dir / "starter" / "recognizer.onnx"
    done = subprocess.run(
        [sys.executable, "-c", OPEN_A_NETWORK, str(graph)],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert not any("openvino" in name for name in done.stdout.split("'"))
    assert list(tmp_path.iterdir()) == []
