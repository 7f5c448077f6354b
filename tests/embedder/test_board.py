"""What is next, of what several callers wait for: large items one at a time, and a place for who has none."""

from collections.abc import Iterable
from typing import Any

from embedder.board import Batch, Begin, Board, Photo, StageRunner
from embedder.caller import Caller
from embedder.steps import Ask, Stage, Steps

SMALL, LARGE = "small", "large"


def nothing() -> Steps[None]:
    yield Ask(Stage.DECODE, [])


def photo_of(key: str) -> Photo:
    return Photo(nothing(), Caller(None, key), refusable=True)


def board_of(*, max_begun: int, max_batch: int = 1) -> Board:
    runner = StageRunner(list, max_batch=max_batch, max_running=4, is_large=lambda item: item == LARGE)
    return Board({Stage.DECODE: runner}, queue_limit=8, max_begun=max_begun)


def begun(board: Board, key: str) -> Photo:
    board.admit(photo_of(key))
    task = board.take()
    assert isinstance(task, Begin)
    return task.photo


def batch(task: Any) -> Batch:
    assert isinstance(task, Batch)
    return task


def values(items: Iterable[Any]) -> list[str]:
    return [item.value for item in items]


def test_large_items_run_one_at_a_time_and_leave_the_stage_to_small_ones() -> None:
    board = board_of(max_begun=8)
    for photo in [begun(board, "greedy") for _ in range(2)]:
        board.put(photo, Ask(Stage.DECODE, [LARGE]))
    first = batch(board.take())
    assert values(first.items) == [LARGE]
    assert board.take() is None
    board.put(begun(board, "modest"), Ask(Stage.DECODE, [SMALL]))
    assert values(batch(board.take()).items) == [SMALL]
    assert board.take() is None
    board.finish_batch(first, 0.1, 1)
    assert values(batch(board.take()).items) == [LARGE]


def test_one_batch_holds_one_large_item() -> None:
    board = board_of(max_begun=8, max_batch=4)
    board.put(begun(board, "greedy"), Ask(Stage.DECODE, [LARGE, LARGE]))
    first = batch(board.take())
    assert values(first.items) == [LARGE]
    assert board.take() is None
    board.finish_batch(first, 0.1, 1)
    assert values(batch(board.take()).items) == [LARGE]


def test_last_place_in_memory_is_for_a_caller_who_has_none() -> None:
    board = board_of(max_begun=3)
    for _ in range(5):
        board.admit(photo_of("greedy"))
    assert [type(board.take()) for _ in range(3)] == [Begin, Begin, type(None)]
    for _ in range(2):
        board.admit(photo_of("modest"))
    task = board.take()
    assert isinstance(task, Begin) and task.photo.caller.key == "modest"
    assert board.take() is None
    board.end(task.photo)
    task = board.take()
    assert isinstance(task, Begin) and task.photo.caller.key == "modest"


def test_caller_alone_may_have_the_only_place() -> None:
    board = board_of(max_begun=1)
    photo = begun(board, "alone")
    board.admit(photo_of("alone"))
    assert board.take() is None
    board.end(photo)
    assert isinstance(board.take(), Begin)
