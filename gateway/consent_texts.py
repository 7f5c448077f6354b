"""The texts that people agree to before their photo is kept, by version and language."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.errors import StartupError

# A date; and, of a translation, the language: 2026-11.de. What is kept with a photo so says which of them was read.
_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}(-[0-9]{2})?(\.[a-z]{2})?")
ORIGINAL_LANGUAGE: Final = "en"
CONSENT_DIR: Final = Path(__file__).parent / "consent"


@dataclass(frozen=True, slots=True)
class ConsentTexts:
    """Every text that was ever shown; the current one has the last version."""

    texts: Mapping[str, str]

    @property
    def current_version(self) -> str:
        """The version to show, in the language that it was written in."""
        return max(version for version in self.texts if language_of(version) == ORIGINAL_LANGUAGE)

    def current_in(self, language: str) -> str:
        """Returns the version to show to who reads that language: its translation, where there is one."""
        translated = f"{self.current_version}.{language}"
        return translated if translated in self.texts else self.current_version

    @property
    def versions(self) -> frozenset[str]:
        """Every version that can be agreed to: a page that was open during an update still shows the former one."""
        return frozenset(self.texts)


def language_of(version: str) -> str:
    """Returns the language of a version's text, as in ISO 639-1."""
    return version.partition(".")[2] or ORIGINAL_LANGUAGE


def load_consent_texts(folder: Path = CONSENT_DIR) -> ConsentTexts:
    """Reads <version>.txt, a version being a date, and translations, <version>.<language>.txt.

    Raises StartupError when there is none, and for a translation without its original.
    """
    texts = {
        path.stem: path.read_text(encoding="utf-8")
        for path in sorted(folder.glob("*.txt"))
        if _VERSION.fullmatch(path.stem)
    }
    if not texts:
        raise StartupError(f"{folder} holds no consent text; reinstall the gateway")
    for version in texts:
        if version.partition(".")[0] not in texts:
            raise StartupError(f"{folder / version}.txt translates a consent text that is not there; add the original")
    return ConsentTexts(texts)
