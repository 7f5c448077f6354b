"""The one door to OpenCV: its limits are environment variables that must be set before the first import."""

import os
from typing import Final

HARD_MAX_IMAGE_PIXELS: Final = 100_000_000
"""OpenCV itself refuses more, whatever a header made us believe; settings may only ask for less."""

os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(HARD_MAX_IMAGE_PIXELS)
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

import cv2 as cv2  # noqa: E402 - see above

# The worker threads already use every core; a second pool inside OpenCV only makes them wait for each other.
cv2.setNumThreads(1)
