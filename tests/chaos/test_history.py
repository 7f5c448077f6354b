"""The checker itself: it catches each kind of violation, and accuses nobody who is right."""

from pathlib import Path

import pytest

from tests.chaos.history import ADD, DELETE, FAIL, OK, READ, UNKNOWN, History, Violation, check, read_history


def _do(history: History, action: str, key: str, kind: str = OK) -> None:
    history.end(kind, history.invoke(action, key))


def _read(history: History, *keys: str) -> None:
    history.end(OK, history.invoke(READ), keys)


def _kinds(history: History) -> list[str]:
    return [violation.kind for violation in check(history.events)]


@pytest.fixture
def history() -> History:
    return History()


def test_a_store_that_does_what_it_says_is_not_accused(history: History) -> None:
    _do(history, ADD, "a")
    _do(history, ADD, "b")
    _read(history, "a", "b")
    _do(history, DELETE, "a")
    _read(history, "b")
    _do(history, ADD, "a")
    _read(history, "a", "b")
    assert check(history.events) == []


def test_an_acknowledged_add_that_is_gone_is_lost(history: History) -> None:
    _do(history, ADD, "a")
    _do(history, ADD, "b")
    _read(history, "b")
    assert check(history.events) == [Violation("lost", "a", 3)]


def test_an_acknowledged_delete_that_is_there_has_returned(history: History) -> None:
    _do(history, ADD, "a")
    _do(history, DELETE, "a")
    _read(history, "a")
    assert _kinds(history) == ["returned"]


def test_an_add_that_failed_for_certain_is_not_there(history: History) -> None:
    _do(history, ADD, "a", FAIL)
    _read(history, "a")
    assert _kinds(history) == ["returned"]


def test_a_key_that_is_there_twice_is_a_duplicate(history: History) -> None:
    _do(history, ADD, "a")
    _read(history, "a", "a")
    assert _kinds(history) == ["duplicate"]


def test_a_key_that_nobody_added_is_unheard_of(history: History) -> None:
    _read(history, "a")
    assert _kinds(history) == ["unheard_of"]


@pytest.mark.parametrize("seen", [(), ("a",)])
@pytest.mark.parametrize("settled", [False, True])
def test_an_add_whose_answer_was_lost_may_be_there_or_not(
    history: History, seen: tuple[str, ...], settled: bool
) -> None:
    _do(history, ADD, "a", UNKNOWN)
    if settled:
        history.settle()
    _read(history, *seen)
    assert check(history.events) == []


def test_what_was_seen_after_all_has_settled_stays_so(history: History) -> None:
    _do(history, ADD, "a", UNKNOWN)
    _do(history, ADD, "b", UNKNOWN)
    history.settle()
    _read(history, "a")
    _read(history, "b")
    assert _kinds(history) == ["lost", "returned"]


def test_an_add_whose_answer_was_lost_may_still_come_while_nothing_has_settled(history: History) -> None:
    _do(history, ADD, "a", UNKNOWN)
    _read(history)
    _read(history, "a")
    assert check(history.events) == []


def test_an_add_asked_for_again_is_the_same_add(history: History) -> None:
    _do(history, ADD, "a", UNKNOWN)
    _do(history, ADD, "a")
    _read(history)
    assert _kinds(history) == ["lost"]


def test_a_delete_whose_answer_was_lost_leaves_either(history: History) -> None:
    for key in "ab":
        _do(history, ADD, key)
        _do(history, DELETE, key, UNKNOWN)
    _read(history, "b")
    assert check(history.events) == []


def test_a_read_beside_an_add_may_see_it_or_not(history: History) -> None:
    adding = history.invoke(ADD, "a")
    early = history.invoke(READ)
    history.end(OK, adding)
    history.end(OK, early, ())
    assert check(history.events) == []


def test_a_read_that_began_after_the_answer_must_see_it(history: History) -> None:
    adding = history.invoke(ADD, "a")
    history.end(OK, adding)
    late = history.invoke(READ)
    other = history.invoke(ADD, "b")
    history.end(OK, late, ("b",))
    history.end(OK, other)
    assert _kinds(history) == ["lost"]


def test_two_operations_on_one_key_at_once_cannot_be_judged(history: History) -> None:
    history.invoke(ADD, "a")
    history.invoke(DELETE, "a")
    with pytest.raises(ValueError, match="at once"):
        check(history.events)


def test_a_history_is_read_back_from_its_file_without_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history = History(path)
    _do(history, ADD, "a", UNKNOWN)
    history.settle("killed at add.committed")
    _read(history, "a")
    history.close()
    with path.open("a") as file:
        file.write('{"kind": "inv')
    assert read_history(path) == history.events
    assert history.counts() == {"invoke": 2, "ok": 1, "fail": 0, "unknown": 1, "settle": 1}
