"""Writes the corpus to a folder, or tries it on an embedder: ``python -m tests.support.corpus [--try] [FOLDER]``."""

import argparse
import json
import sys
from pathlib import Path

from cli.settings import ClientSettings
from tests.support.corpus import generate
from tests.support.corpus.trial import serving_embedder

_SHOWN = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.corpus", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="where the files and manifest.json are written")
    parser.add_argument("--try", action="store_true", dest="is_trial", help="send every file to a real embedder")
    arguments = parser.parse_args()
    if arguments.folder is None and not arguments.is_trial:
        parser.error("name a folder, or --try")
    models_dir = ClientSettings().models_path()
    photos = models_dir / "starter" / "photos"
    if arguments.folder is not None:
        print(f"{write(photos, arguments.folder)} files are in {arguments.folder}")
    return attempt(models_dir, photos) if arguments.is_trial else 0


def write(photos: Path, folder: Path) -> int:
    """Writes the files, and manifest.json with what may come of each; returns how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = []
    for file in generate(photos):
        (folder / file.name).write_bytes(file.data)
        manifest.append({"name": file.name, "kind": file.kind, "outcomes": sorted(file.outcomes)})
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return len(manifest)


def attempt(models_dir: Path, photos: Path) -> int:
    """Prints the wrong answers, the slowest and the greediest; returns 1 when any was wrong."""
    good = (photos / "gauss.png").read_bytes()
    with serving_embedder(models_dir) as subject:
        subject.vector(good)
        answers = list(subject.answers(generate(photos)))
    wrong = [answer for answer in answers if not answer.is_right]
    by_time = sorted(answers, key=lambda answer: -answer.duration_s)[:_SHOWN]
    by_memory = sorted(answers, key=lambda answer: -answer.peak_growth_bytes)[:_SHOWN]
    print(f"{len(answers)} files of {len({answer.file.kind for answer in answers})} kinds")
    for title, shown in (("wrong", wrong), ("slowest", by_time), ("greediest", by_memory)):
        print(f"\n{title}: {len(shown)}")
        for answer in shown:
            print(f"  {answer}" + ("" if answer.is_right else f", expected {', '.join(sorted(answer.file.outcomes))}"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
