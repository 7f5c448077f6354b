"""Model packs: a detector and a recognizer with everything needed to run them right, pulled, checked and loaded."""

from embedder.models.packs import FileCheck, LicenseNotAccepted, PackState, PackSummary, list_packs, pull, verify

__all__ = ["FileCheck", "LicenseNotAccepted", "PackState", "PackSummary", "list_packs", "pull", "verify"]
