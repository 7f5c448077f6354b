"""The ``twin`` command."""


def main() -> int:
    """Runs the command."""
    return 0
