"""``twin search`` and ``twin compare``: a table in the terminal."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from google.protobuf import json_format
from rich.console import Console
from rich.table import Table
from twin.gateway.v1 import gateway_pb2, gateway_pb2_grpc
from twin.vectorstore.v1 import vectorstore_pb2

from cli.errors import CommandError, in_words
from cli.gateway_channel import gateway_channel
from cli.photo_file import read_named_photo, sendable
from cli.settings import ClientSettings

_TIMEOUT_S: Final = 30.0
MODES: Final = {
    "lookalike": vectorstore_pb2.MATCH_MODE_LOOKALIKE,
    "same-person": vectorstore_pb2.MATCH_MODE_SAME_PERSON,
    "nearest": vectorstore_pb2.MATCH_MODE_NEAREST,
}


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What to search for."""

    photo: Path
    gallery: str
    limit: int
    mode: str
    face_index: int | None
    all_faces: bool
    min_similarity: float | None
    as_json: bool


def search(options: SearchOptions, settings: ClientSettings, console: Console) -> int:
    """Prints the twins of the photo's face; returns 0, also when there are none. Raises CommandError."""
    request = gateway_pb2.SearchRequest(
        gallery=options.gallery,
        image=read_named_photo(options.photo),
        face_index=options.face_index,
        all_faces=options.all_faces,
        limit=options.limit,
        mode=MODES[options.mode],
        min_similarity=options.min_similarity,
        original_filename=sendable(options.photo.name),
    )
    with gateway_channel(settings) as channel:
        try:
            answer = gateway_pb2_grpc.TwinServiceStub(channel).Search(request, timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            raise CommandError(in_words(error, settings.target("gateway"))) from error
    if options.as_json:
        console.out(json_format.MessageToJson(answer, preserving_proto_field_name=True), highlight=False)
        return 0
    for result in answer.results:
        _print_result(result, len(answer.faces), console)
    return 0


def _print_result(result: gateway_pb2.FaceResult, face_count: int, console: Console) -> None:
    if not result.twins and not result.yourself:
        console.print(f"Face {result.face_index}: the gallery holds nobody who is alike enough.")
        return
    which = "" if face_count == 1 else f" of face {result.face_index} (faces 0 to {face_count - 1}, the largest first)"
    table = Table(title=f"Twins{which}", title_justify="left")
    for heading, right in (("", True), ("alike", True), ("cosine", True), ("closer than", True), ("who", False)):
        table.add_column(heading, justify="right" if right else "left")
    table.add_column("collection")
    for rank, twin in enumerate(result.twins, start=1):
        table.add_row(str(rank), *_cells(twin.match))
    for twin in result.yourself:
        table.add_row("you", *_cells(twin.match), style="dim")
    console.print(table)


def _cells(match: vectorstore_pb2.Match) -> tuple[str, ...]:
    similarity = match.similarity
    return (
        f"{similarity.percent:.0f} %",
        f"{similarity.cosine:.3f}",
        # Rounded down, as on the page: nobody is closer than everybody.
        f"{math.floor(similarity.percentile * 1000) / 10:.1f} %",
        _printable(match.person) or f"photo {match.photo_id}",
        _printable(match.collection),
    )


def _printable(text: str) -> str:
    """Returns text that others gave, without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def compare(first: Path, second: Path, settings: ClientSettings, console: Console) -> int:
    """Prints how alike the faces of two photos are; returns 0. Raises CommandError."""
    request = gateway_pb2.CompareRequest(first_image=read_named_photo(first), second_image=read_named_photo(second))
    with gateway_channel(settings) as channel:
        try:
            answer = gateway_pb2_grpc.TwinServiceStub(channel).Compare(request, timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            raise CommandError(in_words(error, settings.target("gateway"))) from error
    table = Table()
    table.add_column("alike", justify="right")
    table.add_column("cosine", justify="right")
    table.add_column("the model's verdict")
    verdict = "the same person" if answer.same_person else "two people"
    table.add_row(f"{answer.similarity.percent:.0f} %", f"{answer.similarity.cosine:.3f}", verdict)
    console.print(table)
    return 0
