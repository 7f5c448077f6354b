"""The ``twin`` command's parts: what each takes, and what does it."""

import argparse
import importlib.metadata
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from cli.errors import CommandError
from cli.settings import ClientSettings
from runtime.errors import StartupError, TwinError
from runtime.names import DEFAULT_GALLERY, check_gallery_name
from runtime.settings import load_settings

Command = Callable[[argparse.Namespace, ClientSettings, Console], int]


def run(arguments: Sequence[str] | None) -> int:
    """Runs the command; returns its exit code, as main does. Raises KeyboardInterrupt."""
    chosen = _parser().parse_args(arguments)
    command: Command = chosen.run
    try:
        # Names and paths that others gave are printed as they are, whatever brackets they hold.
        return command(chosen, load_settings(ClientSettings), Console(markup=False, emoji=False))
    except (CommandError, StartupError, TwinError, OSError) as error:
        print(f"twin: {error}", file=sys.stderr)
        return 1


def _demo(chosen: argparse.Namespace, settings: ClientSettings, _console: Console) -> int:
    from cli import demo

    return demo.check(settings) if chosen.check else demo.demo(settings)


def _serve(chosen: argparse.Namespace, settings: ClientSettings, _console: Console) -> int:
    from cli.serve import serve

    return serve(chosen.service, settings)


def _import(chosen: argparse.Namespace, settings: ClientSettings, console: Console) -> int:
    from cli.import_photos import ImportOptions, import_photos
    from cli.import_stored import StoredOptions, import_stored, is_stored

    stamp = time.strftime("%Y%m%d-%H%M%S")
    report = chosen.report or settings.data_path("imports", f"{stamp}-skipped.csv")
    gallery = check_gallery_name(chosen.gallery)
    if is_stored(chosen.source):
        if chosen.person_from_folder:
            raise CommandError("--person-from-folder is for local folders; a CSV beside the photos says who is in them")
        stored = StoredOptions(chosen.source, gallery, chosen.collection, chosen.all_faces, report)
        return import_stored(stored, settings, console)
    options = ImportOptions(
        folder=Path(chosen.source).expanduser(),
        gallery=gallery,
        collection=chosen.collection,
        all_faces=chosen.all_faces,
        person_from_folder=chosen.person_from_folder,
        report=report,
    )
    return import_photos(options, settings, console)


def _search(chosen: argparse.Namespace, settings: ClientSettings, console: Console) -> int:
    from cli.search import SearchOptions, search

    options = SearchOptions(
        photo=chosen.photo,
        gallery=check_gallery_name(chosen.gallery),
        limit=chosen.limit,
        mode=chosen.mode,
        face_index=chosen.face,
        all_faces=chosen.all_faces,
        min_similarity=chosen.min_similarity,
        as_json=chosen.json,
    )
    return search(options, settings, console)


def _delete(chosen: argparse.Namespace, settings: ClientSettings, console: Console) -> int:
    from cli.delete import delete

    return delete(chosen.photo_ids, settings, console)


def _export(chosen: argparse.Namespace, settings: ClientSettings, console: Console) -> int:
    from cli.export import export

    return export(chosen.photo_id, chosen.token, chosen.output, settings, console)


def _audit_verify(chosen: argparse.Namespace, settings: ClientSettings, console: Console) -> int:
    from cli.audit import verify

    return verify(chosen.head, settings, console)


def _audit_list(chosen: argparse.Namespace, settings: ClientSettings, console: Console) -> int:
    from cli.audit import list_entries

    return list_entries(chosen.limit, settings, console)


def _compare(chosen: argparse.Namespace, settings: ClientSettings, console: Console) -> int:
    from cli.search import compare

    return compare(chosen.first, chosen.second, settings, console)


def _models_list(_chosen: argparse.Namespace, settings: ClientSettings, console: Console) -> int:
    from cli.models import list_models

    return list_models(settings, console)


def _models_pull(chosen: argparse.Namespace, settings: ClientSettings, console: Console) -> int:
    from cli.models import pull_models

    return pull_models(chosen.pack or settings.model_pack, chosen.accept_license, settings, console)


def _models_verify(chosen: argparse.Namespace, settings: ClientSettings, console: Console) -> int:
    from cli.models import verify_models

    return verify_models(chosen.pack or settings.model_pack, settings, console)


def _drive_login(chosen: argparse.Namespace, _settings: ClientSettings, console: Console) -> int:
    from cli.drive import SignIn, login

    return login(SignIn(chosen.client, chosen.imports, chosen.port, chosen.browser), console)


def _drive_reconcile(chosen: argparse.Namespace, settings: ClientSettings, console: Console) -> int:
    from cli.drive_reconcile import reconcile

    return reconcile(apply=chosen.apply, max_removals=chosen.max, settings=settings, console=console)


def _doctor(_chosen: argparse.Namespace, settings: ClientSettings, console: Console) -> int:
    from cli.doctor import doctor

    return doctor(settings, console)


def _int32(text: str) -> int:
    """Reads a number that the contracts' int32 can carry; whether it makes sense, the service says."""
    number = int(text)
    if not -(2**31) <= number < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is out of range")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="twin",
        description="Finds the faces that look alike.",
        epilog="Settings come from the environment (TWIN_DATA_DIR, TWIN_GATEWAY_TARGET, ...): see docs/operator.md.",
    )
    parser.add_argument("--version", action="version", version=importlib.metadata.version("find-your-twin"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="run everything here, with a gallery to search")
    demo.add_argument(
        "--check", action="store_true", help="search once as the page does, print the best twin, and exit"
    )
    demo.set_defaults(run=_demo)

    serve = commands.add_parser("serve", help="run one service, or all of them")
    serve.add_argument("service", choices=("embedder", "vectorstore", "gateway", "all"))
    serve.set_defaults(run=_serve)

    importing = commands.add_parser(
        "import",
        help="add every photo of a folder to a gallery; run it again to go on",
        description="Adds every photo under a folder (.jpg, .jpeg, .jpe, .png, .webp; hidden files, and folders that"
        " are links, are left out). A folder of this machine is copied into the photo store, and images of other kinds"
        " in it are told of; drive:FOLDER_ID and store:PATH name one that is there already, whose photos stay where"
        " they are. Files beside the photos say who is in them: source_info.json, a CSV, CelebA's identities; see"
        " docs/operator.md. Exit code 0: every photo is in the gallery; 1: some were skipped, and the report says why.",
    )
    importing.add_argument("source", metavar="FOLDER", help="./folder, drive:FOLDER_ID or store:PATH")
    importing.add_argument("--gallery", default=DEFAULT_GALLERY, help="made when there is none of that name")
    importing.add_argument("--collection", default="", help="free text that is shown with each match")
    importing.add_argument("--all-faces", action="store_true", help="every face of a photo, not the primary one alone")
    importing.add_argument(
        "--person-from-folder", action="store_true", help="each photo's folder is named after the person in it"
    )
    importing.add_argument("--report", type=Path, metavar="FILE", help="where to write what was skipped, as CSV")
    importing.set_defaults(run=_import)

    search = commands.add_parser("search", help="who looks most like the person in a photo")
    search.add_argument("photo", type=Path, help="a JPEG, PNG or WebP file")
    search.add_argument("--gallery", default=DEFAULT_GALLERY, help="the gallery to search (default: %(default)s)")
    search.add_argument("--limit", type=_int32, default=15, help="matches at most, 1 to 100 (default: %(default)s)")
    search.add_argument(
        "--mode",
        choices=("lookalike", "same-person", "nearest"),
        default="lookalike",
        help="other people, one match each; photos of the same person; or faces as they come (default: %(default)s)",
    )
    which = search.add_mutually_exclusive_group()
    which.add_argument("--face", type=_int32, metavar="N", help="the face to search for, counted from 0, largest first")
    which.add_argument("--all-faces", action="store_true", help="search for every face of the photo")
    search.add_argument(
        "--min-similarity", type=float, metavar="COSINE", help="leave out whoever is less alike, -1 to 1"
    )
    search.add_argument("--json", action="store_true", help="the whole answer, as JSON")
    search.set_defaults(run=_search)

    compare = commands.add_parser(
        "compare",
        help="how alike two photos' primary faces are",
        description="Compares the primary face of each photo.",
    )
    compare.add_argument("first", type=Path, help="a JPEG, PNG or WebP file")
    compare.add_argument("second", type=Path, help="another one")
    compare.set_defaults(run=_compare)

    delete = commands.add_parser("delete", help="remove photos everywhere, as whoever runs the service")
    delete.add_argument("photo_ids", nargs="+", metavar="PHOTO_ID")
    delete.set_defaults(run=_delete)

    export = commands.add_parser("export", help="all that is held about a photo, as a ZIP file")
    export.add_argument("photo_id", metavar="PHOTO_ID")
    export.add_argument("--token", help="of the photo's receipt; without it, whoever runs the service asks")
    export.add_argument("-o", "--output", type=Path, metavar="FILE", help="photo-PHOTO_ID.zip when left out")
    export.set_defaults(run=_export)

    audit = commands.add_parser("audit", help="who did what").add_subparsers(required=True, metavar="ACTION")
    checking = audit.add_parser(
        "verify",
        help="check that every entry is as it was written",
        description="Checks every entry of the audit log, and that it goes on from what was found right here before."
        " Exit code 0: it does; 1: it does not, and from where on.",
    )
    checking.add_argument(
        "--head", metavar="LINK:HASH", help="go on from this, as an earlier check printed it, instead"
    )
    checking.set_defaults(run=_audit_verify)
    listing = audit.add_parser("list", help="the newest entries")
    listing.add_argument("--limit", type=_int32, default=50, help="how many (default: %(default)s)")
    listing.set_defaults(run=_audit_list)

    models = commands.add_parser("models", help="the model packs").add_subparsers(required=True, metavar="ACTION")
    models.add_parser("list", help="every pack, with its state and licence").set_defaults(run=_models_list)
    pull = models.add_parser("pull", help="bring a pack; nothing happens when it is there and intact")
    pull.add_argument("pack", nargs="?", help="TWIN_MODEL_PACK when left out")
    pull.add_argument("--accept-license", action="store_true", help="accept the terms of the pack's weights")
    pull.set_defaults(run=_models_pull)
    verify = models.add_parser("verify", help="check every file of a pack against its SHA-256")
    verify.add_argument("pack", nargs="?", help="TWIN_MODEL_PACK when left out")
    verify.set_defaults(run=_models_verify)

    drive = commands.add_parser("drive", help="the photo store").add_subparsers(required=True, metavar="ACTION")
    signing_in = drive.add_parser(
        "login",
        help="sign in to Google Drive, once, in a browser",
        description="Signs in as the owner of the Drive that is to hold the photos, and keeps the token in the data"
        " folder, or in TWIN_GOOGLE_TOKEN_FILE. A gateway that runs takes it up by itself.",
    )
    signing_in.add_argument(
        "--client",
        type=Path,
        metavar="FILE",
        help="the OAuth client's JSON file; TWIN_GOOGLE_CLIENT_ID and TWIN_GOOGLE_CLIENT_SECRET when left out",
    )
    signing_in.add_argument("--imports", action="store_true", help="let imports read your own photos, too")
    signing_in.add_argument("--port", type=int, default=0, help="where the browser is sent back to (default: any)")
    signing_in.add_argument(
        "--no-browser", dest="browser", action="store_false", help="print the address instead of opening it"
    )
    signing_in.set_defaults(run=_drive_login)
    reconciling = drive.add_parser(
        "reconcile",
        help="what has only one side: originals without a photo, photos without their original",
        description="Compares the photo store, Drive or local, with the database; what is younger than 24 hours is left"
        " alone, and on any doubt nothing is removed. Exit code 0: nothing is left over; 1: something is.",
    )
    reconciling.add_argument("--apply", action="store_true", help="remove what was found")
    reconciling.add_argument(
        "--max", type=_int32, default=0, metavar="N", help="how many at most, 1 to 1,000 (default: 20)"
    )
    reconciling.set_defaults(run=_drive_reconcile)

    commands.add_parser("doctor", help="what is missing here, and how to get it").set_defaults(run=_doctor)
    return parser
