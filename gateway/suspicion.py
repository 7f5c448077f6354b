"""How many orphans are believed: of more, the wrong database or another account is likelier than that many failures."""

from typing import Final

# Over this many orphans, they must also be fewer than half of what was looked at.
UNSUSPICIOUS_ORPHANS: Final = 20


def are_suspicious(orphan_count: int, looked_at: int) -> bool:
    """True for orphans that are all that was looked at, or many and more than half of it."""
    are_all = 0 < orphan_count == looked_at
    return are_all or (orphan_count > UNSUSPICIOUS_ORPHANS and orphan_count * 2 > looked_at)
