"""What Drive's answers mean."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httplib2
import pytest
from googleapiclient.errors import HttpError

from gateway.drive_errors import failure_of
from runtime.errors import TwinError
from runtime.status import to_status

# Seen from whenever the tests come to it.
SOON = format_datetime(datetime.now(UTC) + timedelta(hours=6))
PAST = format_datetime(datetime.now(UTC) - timedelta(seconds=100))


@pytest.mark.parametrize(
    ("retry_after", "least_s", "most_s"),
    [
        ("7", 7, 7),
        (SOON, 1, 6 * 3600),
        (SOON.replace("+0000", "-0000"), 0, 86_400),
        (PAST, 0, 0),
        ("9" * 400, 86_400, 86_400),
        ("in a while", 0, 0),
        ("", 0, 0),
    ],
    ids=["seconds", "time", "time of nowhere", "time that is over", "too long", "words", "nothing"],
)
def test_whatever_retry_after_says_is_a_time_that_can_be_told(retry_after: str, least_s: float, most_s: float) -> None:
    answer = httplib2.Response({"status": "429", "retry-after": retry_after})
    failure = failure_of(HttpError(answer, b"{}"))
    assert failure.may_retry
    assert least_s <= failure.after_s <= most_s
    assert isinstance(failure.error, TwinError)
    to_status(failure.error)
