"""The Chromium that is installed here; the browser driver's own downloads are never used."""

import os
import shutil

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Returns the browser's path; without one, the test is left out loudly, and in CI it fails."""
    for name in NAMES:
        path = shutil.which(name)
        if path is not None:
            return path
    reason = "CHROMIUM IS MISSING: this browser test did not run; tools/install-chromium installs it, as root"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
