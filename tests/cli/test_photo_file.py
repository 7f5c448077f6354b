"""Files that are photos, and what else a path may lead to."""

import os
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.photo_file import MAX_PHOTO_BYTES, UnreadablePhoto, read_named_photo, read_photo, sendable


def test_the_largest_photo_that_services_take_is_read_and_no_larger_one(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(bytes(MAX_PHOTO_BYTES))
    assert len(read_photo(photo)) == MAX_PHOTO_BYTES
    photo.write_bytes(bytes(MAX_PHOTO_BYTES + 1))
    with pytest.raises(UnreadablePhoto) as caught:
        read_photo(photo)
    assert caught.value.reason == "IMAGE_TOO_LARGE"


@pytest.mark.timeout(20)
def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(UnreadablePhoto, match="no regular file"):
            read_photo(path)


def test_a_path_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    link = tmp_path / "link.jpg"
    link.symlink_to("link.jpg")
    for path in (link, tmp_path, tmp_path / "absent.jpg"):
        with pytest.raises(CommandError) as caught:
            read_named_photo(path)
        assert str(caught.value).startswith(f"{path}: ")


def test_every_name_that_a_file_may_have_can_be_sent() -> None:
    assert sendable("Émile.jpg") == "Émile.jpg"
    assert sendable(os.fsdecode(b"bad\xff.jpg")).encode("utf-8") == "bad�.jpg".encode()
