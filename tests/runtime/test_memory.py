"""Memory that was used once goes back, and errors keep nothing of what they were about."""

import gc
import subprocess
import sys
import weakref

import pytest

from runtime.errors import NotFound, forget_frames

USE_AND_FREE = """
import resource
from runtime.memory import return_freed_memory

def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

return_freed_memory()
before = held()
for _ in range(5):
    blocks = [bytearray(20 * 2**20) for _ in range(5)]
    del blocks
print(held() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator's settings are the GNU C library's")
def test_large_blocks_go_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", USE_AND_FREE], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 10 * 2**20


class Photo:
    """Something that a frame holds."""


def fail_with(photo: Photo) -> None:
    try:
        raise ValueError("inner")
    except ValueError as error:
        raise NotFound("photo") from error


def test_error_that_was_dealt_with_keeps_nothing_of_its_frames() -> None:
    photo = Photo()
    alive = weakref.ref(photo)
    kept: list[BaseException] = []
    try:
        fail_with(photo)
    except NotFound as error:
        kept.append(error)
    gc.disable()
    try:
        del photo
        assert alive() is not None, "the frames hold it, or the test shows nothing"
        forget_frames(kept[0])
        assert alive() is None
    finally:
        gc.enable()
    assert kept[0].__cause__ is not None and kept[0].__cause__.__traceback__ is None
