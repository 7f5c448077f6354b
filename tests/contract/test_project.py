"""Promises of the project as a whole: who imports whom, what is installed, what the lock files name."""

import ast
import importlib.metadata
import json
import re
from pathlib import Path

import pytest

from embedder.settings import EmbedderSettings
from gateway.settings import GatewaySettings
from runtime.settings import ServiceSettings
from vectorstore.settings import VectorStoreSettings

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {"embedder", "gateway", "vectorstore"}


def imported_packages(package: str) -> set[str]:
    found: set[str] = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_services_meet_on_the_wire_alone(service: str) -> None:
    imported = imported_packages(service)
    assert "runtime" in imported
    assert not imported & (SERVICES - {service} | {"cli", "tests", "benchmarks"})


def test_the_runtime_knows_no_service() -> None:
    assert not imported_packages("runtime") & (SERVICES | {"cli", "tests", "benchmarks", "twin"})


@pytest.mark.parametrize(
    ("module", "distributions"),
    [
        ("cv2", {"opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"}),
        ("onnxruntime", {"onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"}),
        ("faiss", {"faiss-cpu", "faiss-gpu", "faiss-gpu-cuvs"}),
    ],
)
def test_one_build_of_each_library_is_installed(module: str, distributions: set[str]) -> None:
    installed = {distribution.metadata["Name"].lower() for distribution in importlib.metadata.distributions()}
    assert len(installed & distributions) == 1, module


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-bench.txt", "requirements-uv.txt"])
def test_python_packages_are_pinned_by_hash_and_no_address_is_named(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert entries
    for entry in entries:
        assert "==" in entry.splitlines()[0] and "--hash=sha256:" in entry, entry.splitlines()[0]


def test_node_packages_are_pinned_by_hash_and_no_address_is_named() -> None:
    text = (ROOT / "web" / "package-lock.json").read_text()
    assert "://" not in text
    packages = json.loads(text)["packages"]
    for name, entry in packages.items():
        assert "resolved" not in entry, name
        assert not name or entry.get("link") or entry["integrity"].startswith("sha512-"), name


@pytest.mark.parametrize("settings", [EmbedderSettings, GatewaySettings, VectorStoreSettings])
def test_the_operators_guide_names_every_setting(settings: type[ServiceSettings]) -> None:
    guide = (ROOT / "docs" / "operator.md").read_text()
    named = set(re.findall(r"`(TWIN_[A-Z0-9_]+)`", guide))
    assert {f"TWIN_{name.upper()}" for name in settings.model_fields} - named <= {"TWIN_DRIVE_ENDPOINT"}, "for tests"
