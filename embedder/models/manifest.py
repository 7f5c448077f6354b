"""What a pack's manifest.toml says, read and written."""

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from embedder.detect import DetectorThresholds
from runtime.errors import StartupError

MANIFEST_NAME: Final = "manifest.toml"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a model's cosines mean; the fields are those of twin.face.v1.Calibration."""

    same_person_similarity: float
    duplicate_similarity: float
    percent_slope: float
    percent_midpoint: float


GENERAL_CALIBRATION: Final = Calibration(
    # For recognizers that were not measured here: cautious, so that two people are seldom taken for one.
    same_person_similarity=0.55,
    duplicate_similarity=0.95,
    percent_slope=8.0,
    percent_midpoint=0.42,
)


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """One network of a pack: the file that runs, the original it was made from, and how pixels are fed to it."""

    file: str
    sha256: str
    source: str
    source_sha256: str
    mean: float
    scale: float
    channel_order: str


@dataclass(frozen=True, slots=True)
class AttributeFile:
    """A network for age or gender. mean and scale hold a number for each channel, in channel_order."""

    file: str
    sha256: str
    source: str
    source_sha256: str
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    channel_order: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole pack."""

    name: str
    license: str
    dimension: int
    calibration: Calibration
    detector: NetworkFile
    recognizer: NetworkFile
    thresholds: DetectorThresholds = field(default_factory=DetectorThresholds)
    photos: tuple[tuple[str, str], ...] = ()
    """Further files: path within the pack, SHA-256."""
    age: AttributeFile | None = None
    gender: AttributeFile | None = None
    """Both or neither; the same file where one network tells both. Vectors do not depend on them."""

    @property
    def networks(self) -> dict[str, NetworkFile | AttributeFile]:
        """Every network by its section of the manifest."""
        sections = {"detector": self.detector, "recognizer": self.recognizer, "age": self.age, "gender": self.gender}
        return {section: network for section, network in sections.items() if network is not None}

    @property
    def files(self) -> tuple[tuple[str, str], ...]:
        """Every file that the pack must hold: path within the pack, SHA-256."""
        networks = self.networks.values()
        run = tuple((network.file, network.sha256) for network in networks)
        sources = tuple((network.source, network.source_sha256) for network in networks)
        return tuple(dict.fromkeys((*run, *sources, *self.photos)))


def read_manifest(path: Path, pack: str) -> Manifest:
    """Reads and checks a manifest; raises StartupError with one line that says what to do."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        return manifest_from_table(table)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise StartupError(f"{path} is damaged; run: twin models pull {pack}") from error


def manifest_from_table(table: dict[str, Any]) -> Manifest:
    """Builds a manifest from parsed TOML; raises KeyError, TypeError or ValueError for what is missing or wrong."""
    calibration = Calibration(**{key: float(value) for key, value in table["calibration"].items()})
    photos = tuple((_inside(photo["file"]), _digest(photo["sha256"])) for photo in table.get("photo", ()))
    return Manifest(
        name=str(table["name"]),
        license=str(table["license"]),
        dimension=int(table["dimension"]),
        calibration=calibration,
        detector=_network(table["detector"]),
        recognizer=_network(table["recognizer"]),
        thresholds=_thresholds(table.get("thresholds", {})),
        photos=photos,
        **_attribute_networks(table),
    )


def _thresholds(table: dict[str, Any]) -> DetectorThresholds:
    thresholds = DetectorThresholds(**{key: float(value) for key, value in table.items()})
    if not (0 < thresholds.score <= thresholds.sure < 1 and 0 < thresholds.overlap < 1):
        raise ValueError("thresholds lie between 0 and 1, and score is not over sure")
    return thresholds


def _attribute_networks(table: dict[str, Any]) -> dict[str, AttributeFile]:
    sections = [section for section in ("age", "gender") if section in table]
    if len(sections) == 1:
        raise ValueError("age and gender come together or not at all")
    return {section: _attribute_network(table[section]) for section in sections}


def _attribute_network(table: dict[str, Any]) -> AttributeFile:
    scale = _three(table["scale"])
    if min(scale) <= 0:
        raise ValueError("scale is over 0")
    return AttributeFile(**_origin(table), mean=_three(table["mean"]), scale=scale)


def _three(numbers: list[float]) -> tuple[float, float, float]:
    first, second, third = (float(number) for number in numbers)
    return first, second, third


def _network(table: dict[str, Any]) -> NetworkFile:
    if float(table["scale"]) <= 0:
        raise ValueError("scale is over 0")
    return NetworkFile(**_origin(table), mean=float(table["mean"]), scale=float(table["scale"]))


def _origin(table: dict[str, Any]) -> dict[str, str]:
    """Reads what every kind of network has in common."""
    if table["channel_order"] not in ("BGR", "RGB"):
        raise ValueError("channel_order is BGR or RGB")
    return {
        "file": _inside(table["file"]),
        "sha256": _digest(table["sha256"]),
        "source": _inside(table["source"]),
        "source_sha256": _digest(table["source_sha256"]),
        "channel_order": table["channel_order"],
    }


def _inside(text: str) -> str:
    path = Path(text)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"{text} leaves the pack's folder")
    return text


def _digest(text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise ValueError(f"{text} is no SHA-256")
    return text


def manifest_text(manifest: Manifest) -> str:
    """Writes a manifest as TOML; read_manifest gives the same back."""
    lines = [
        "# Written by `twin models pull`.",
        f"name = {_quoted(manifest.name)}",
        f"license = {_quoted(manifest.license)}",
        f"dimension = {manifest.dimension}",
        "",
        "[calibration]",
        *(f"{name} = {getattr(manifest.calibration, name)}" for name in Calibration.__slots__),
    ]
    lines += ["", "[thresholds]"]
    lines += [f"{name} = {getattr(manifest.thresholds, name)}" for name in DetectorThresholds.__slots__]
    for title, network in manifest.networks.items():
        lines += ["", f"[{title}]", *(f"{name} = {_value(getattr(network, name))}" for name in network.__slots__)]
    for file, sha256 in manifest.photos:
        lines += ["", "[[photo]]", f"file = {_quoted(file)}", f"sha256 = {_quoted(sha256)}"]
    return "\n".join(lines) + "\n"


def _value(value: str | float | tuple[float, ...]) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _quoted(text: str) -> str:
    """A JSON string is a TOML basic string, for all that JSON escapes."""
    return json.dumps(text)
