"""``twin models``: which packs there are, bringing one, and checking one."""

from rich.console import Console
from rich.table import Table

from cli.settings import ClientSettings
from embedder.models import PackState, list_packs, pull, verify


def list_models(settings: ClientSettings, console: Console) -> int:
    """Prints every pack with its state, id and licence."""
    table = Table()
    for heading in ("pack", "state", "model id", "licence or what to do"):
        table.add_column(heading)
    for pack in list_packs(settings.models_path()):
        note = pack.license if pack.state is PackState.READY else f"{pack.note}\n{pack.license}"
        table.add_row(pack.name, pack.state.value, pack.model_id, note)
    console.print(table)
    return 0


def pull_models(pack: str, accept_license: bool, settings: ClientSettings, console: Console) -> int:
    """Brings a pack; raises StartupError when it cannot be had or its licence is not accepted."""
    summary = pull(
        pack,
        settings.models_path(),
        accept_license=accept_license,
        progress=lambda line: console.print(line, soft_wrap=True),
    )
    console.print(f"{summary.name} ({summary.model_id}) is ready. Licence: {summary.license}", soft_wrap=True)
    return 0


def verify_models(pack: str, settings: ClientSettings, console: Console) -> int:
    """Checks every file of a pack; returns 1 when one is damaged. Raises StartupError when the pack is missing."""
    checks = verify(pack, settings.models_path())
    for check in checks:
        console.print(f"{'ok ' if check.ok else 'BAD'}  {check.file}  {check.problem}", soft_wrap=True)
    if all(check.ok for check in checks):
        return 0
    console.print(f"`twin models pull {pack}` replaces it.")
    return 1
