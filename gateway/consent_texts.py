"""The texts that people agree to before their photo is kept, by version."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.errors import StartupError

_VERSION: Final = re.compile(r"[0-9]{4}-[0-9]{2}(-[0-9]{2})?")
CONSENT_DIR: Final = Path(__file__).parent / "consent"


@dataclass(frozen=True, slots=True)
class ConsentTexts:
    """Every text that was ever shown; the current one has the last version."""

    texts: Mapping[str, str]

    @property
    def current_version(self) -> str:
        """The version to show."""
        return max(self.texts)

    @property
    def versions(self) -> frozenset[str]:
        """Every version that can be agreed to: a page that was open during an update still shows the former one."""
        return frozenset(self.texts)


def load_consent_texts(folder: Path = CONSENT_DIR) -> ConsentTexts:
    """Reads <version>.txt, a version being a date; raises StartupError when there is none."""
    texts = {
        path.stem: path.read_text(encoding="utf-8")
        for path in sorted(folder.glob("*.txt"))
        if _VERSION.fullmatch(path.stem)
    }
    if not texts:
        raise StartupError(f"{folder} holds no consent text; reinstall the gateway")
    return ConsentTexts(texts)
