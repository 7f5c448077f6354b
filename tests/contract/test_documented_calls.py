"""The developer's guide, run from top to bottom, and every method of every service in it."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import ServiceDescriptor
from twin.embedder.v1 import embedder_pb2
from twin.gateway.v1 import gateway_pb2
from twin.vectorstore.v1 import vectorstore_pb2

from tests.support.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "developer.md"
SERVICES: list[ServiceDescriptor] = [
    module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (gateway_pb2, "TwinService"),
        (embedder_pb2, "EmbedderService"),
        (vectorstore_pb2, "VectorStoreService"),
    )
]
METHODS = [f"{service.full_name}/{method.name}" for service in SERVICES for method in service.methods]


def guide_script() -> str:
    blocks = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), flags=re.MULTILINE | re.DOTALL)
    return "set -euo pipefail\n" + "\n".join(blocks)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_line_in_the_guide(method: str) -> None:
    assert method in guide_script()


def test_every_line_of_the_guide_works(own_stack: Stack, tmp_path: Path) -> None:
    """With grpcurl itself where it is installed, and otherwise with buf's own client behind its name."""
    folder = tmp_path / "bin"
    folder.mkdir()
    if shutil.which("grpcurl") is None:
        stand_in = folder / "grpcurl"
        shutil.copy(ROOT / "tests" / "support" / "grpcurl", stand_in)
        stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    environment = {
        **own_stack.environment,
        "BUF": str(Path(sys.executable).parent / "buf"),
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
    }
    # An answer is one JSON value; the shell trace on standard error says which line failed.
    answer = subprocess.run(
        ["bash", "-x", "-c", guide_script()], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert answer.returncode == 0, f"{answer.stdout[-2000:]}\n{answer.stderr[-3000:]}"
    assert answer.stdout.count("SERVING") == 3
