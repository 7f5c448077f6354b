"""decode: what is read, how, and what is refused before a pixel is unpacked."""

import io
import tracemalloc
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime.errors import TwinError
from runtime.images.decode import ImageLimits, decode
from tests.runtime.images.images import bad_images, encoded, picture, png_of_size, stored_as

LIMITS = ImageLimits(max_bytes=20 * 2**20, max_pixels=50_000_000)


@pytest.mark.parametrize("name", bad_images())
def test_bad_image_is_refused_with_its_reason(name: str) -> None:
    data, reason, detail = bad_images()[name]
    with pytest.raises(TwinError) as caught:
        decode(data, LIMITS)
    assert caught.value.reason == reason
    assert detail in (caught.value.metadata.get("detected_type"), caught.value.metadata.get("unit"))
    assert caught.value.field == "image"


def test_huge_image_is_refused_without_being_decoded() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TwinError):
            decode(png_of_size(30_000, 30_000), LIMITS)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2**20


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(kind: str, orientation: int) -> None:
    upright = picture()
    data = encoded(stored_as(upright, orientation), kind, orientation=orientation, **_best(kind))
    decoded = decode(data, LIMITS)
    assert decoded.shape == upright.shape
    # Corners are far from the edges between the quarters, where compression rings.
    for y, x in ((2, 2), (2, -3), (-3, 2), (-3, -3)):
        assert np.abs(decoded[y, x].astype(int) - upright[y, x]).max() < 40


def _best(kind: str) -> dict[str, Any]:
    best: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95, "subsampling": 0}, "PNG": {}, "WEBP": {"lossless": True}}
    return best[kind]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", [2, 6, 7])
def test_transparent_images_are_turned_by_the_same_rule(kind: str, orientation: int) -> None:
    upright = picture()
    data = encoded(stored_as(upright, orientation), kind, orientation=orientation, mode="RGBA", **_best(kind))
    assert np.array_equal(decode(data, LIMITS), upright)


def test_gray_palette_and_sixteen_bits_become_bgr() -> None:
    image = picture()
    gray = decode(encoded(image, "PNG", mode="L"), LIMITS)
    assert gray.shape == image.shape
    assert (gray[..., 0] == gray[..., 2]).all()
    assert np.array_equal(decode(encoded(image, "PNG", mode="P"), LIMITS), image)
    deep = np.full((8, 8), 0x8080, np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(deep).save(buffer, "PNG")
    assert np.abs(decode(buffer.getvalue(), LIMITS).astype(int) - 128).max() <= 1


def test_gray_with_alpha_is_laid_on_white_over_many_rows() -> None:
    gray_alpha = np.zeros((300, 8, 2), np.uint8)
    gray_alpha[150:] = (90, 255)
    buffer = io.BytesIO()
    Image.fromarray(gray_alpha, "LA").save(buffer, "PNG")
    decoded = decode(buffer.getvalue(), LIMITS)
    assert (decoded[:150] == 255).all()
    assert (decoded[150:] == 90).all()


def test_transparent_pixels_show_white() -> None:
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, 4:] = (10, 20, 30, 255)
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        buffer = io.BytesIO()
        Image.fromarray(rgba).save(buffer, kind, **options)
        decoded = decode(buffer.getvalue(), LIMITS)
        assert (decoded[:, :4] == 255).all()
        assert (decoded[:, 4:] == (30, 20, 10)).all()


def test_cmyk_jpeg_has_its_colors() -> None:
    image = picture(64, 64)
    decoded = decode(encoded(image, "JPEG", mode="CMYK", quality=95), LIMITS)
    for y, x in ((4, 4), (4, -5), (-5, 4), (-5, -5)):
        assert np.abs(decoded[y, x].astype(int) - image[y, x]).max() < 60


def test_progressive_jpeg_with_a_thumbnail_and_a_trailer_is_whole() -> None:
    data = encoded(picture(), "JPEG", progressive=True, comment=b"\xff\xd9 no end")
    assert decode(data + b"what some cameras append", LIMITS).shape == (32, 48, 3)


def test_animated_images_give_their_first_frame() -> None:
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (200, 10)]
    for kind in ("PNG", "WEBP"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], lossless=True)
        assert abs(int(decode(buffer.getvalue(), LIMITS)[4, 4, 0]) - 200) < 3


def test_limits_are_exact() -> None:
    data = encoded(picture(48, 32), "PNG")
    assert decode(data, ImageLimits(len(data), 48 * 32)).shape == (32, 48, 3)
    for limits in (ImageLimits(len(data) - 1, 48 * 32), ImageLimits(len(data), 48 * 32 - 1)):
        with pytest.raises(TwinError) as caught:
            decode(data, limits)
        assert caught.value.reason == "IMAGE_TOO_LARGE"
