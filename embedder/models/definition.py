"""The starter pack as this version defines it: starter.toml, shipped beside this file."""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from embedder.models.archives import Archive, archive_from_table
from embedder.models.manifest import Manifest, manifest_from_table

STARTER: Final = "starter"


@dataclass(frozen=True, slots=True)
class PackDefinition:
    """A pack that can be made: what its manifest will say, and the archives that its files come out of.

    The digests of the rewritten graphs are not part of a definition; the manifest gets them when the pack is made.
    """

    manifest: Manifest
    archives: tuple[Archive, ...]

    def completed(self, digests: Mapping[str, str]) -> Manifest:
        """Returns the manifest with the digests of the rewritten graphs, given by section; others stay as they are."""
        networks: dict[str, Any] = {
            section: dataclasses.replace(network, sha256=digests.get(section, network.sha256))
            for section, network in self.manifest.networks.items()
        }
        return dataclasses.replace(self.manifest, **networks)

    def accepts(self, manifest: Manifest) -> bool:
        """True when a manifest on disk is this definition's, whatever its rewritten graphs' digests are."""
        return self.completed({section: network.sha256 for section, network in manifest.networks.items()}) == manifest


@cache
def starter_definition() -> PackDefinition:
    """Reads starter.toml."""
    text = resources.files("embedder.models").joinpath("starter.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)
    archives = tuple(archive_from_table(archive) for archive in table["archive"])
    for network in (table["detector"], table["recognizer"], table["age"], table["gender"]):
        # Stands for "not yet made"; the manifest on disk has the digest of the rewritten graph.
        network["sha256"] = "0" * 64
    photos = [
        {"file": member.place, "sha256": member.sha256}
        for archive in archives
        for member in archive.members
        if member.place.startswith("photos/")
    ]
    return PackDefinition(manifest_from_table({**table, "photo": photos}), archives)
