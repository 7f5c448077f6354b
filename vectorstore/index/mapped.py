"""Blocks in files that are mapped: rows that are seldom read and must not take memory."""

import mmap
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from runtime.logs import get_logger
from vectorstore.index.blocks import Matrix

_log = get_logger(__name__)


class MappedFiles:
    """Blocks in files of a folder that have no name: whatever ends the process ends them too.

    A block that finds no room on the disk is in memory instead, and the log says so.
    """

    is_mapped = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> Matrix:
        """See Allocator."""
        byte_count = shape[0] * shape[1] * dtype.itemsize
        if not byte_count:
            return np.empty(shape, dtype)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder) as file:
                # Reserved, not only claimed: writing to a map whose page finds no room kills the process.
                os.posix_fallocate(file.fileno(), 0, byte_count)
                content = mmap.mmap(file.fileno(), byte_count)
        except OSError as error:
            _log.warning("vectors are kept in memory, since the disk has no room for them", error=type(error).__name__)
            return np.empty(shape, dtype)
        return np.frombuffer(content, dtype=dtype).reshape(shape)
