"""What spoils a photograph, each fault alone, on a photo's own pixels."""

from pathlib import Path

from PIL import Image, ImageFilter

from tests.support.photos import encoded

Area = tuple[float, float, float, float]
"""left, top, right, bottom, pixels."""


def shrunk(photo: Path, factor: float) -> bytes:
    """Returns the photo at that share of its size."""
    image = _opened(photo)
    size = (max(round(image.width * factor), 1), max(round(image.height * factor), 1))
    return encoded(image.resize(size, Image.Resampling.BOX), "PNG")


def blurred(photo: Path, radius_pixels: float, area: Area | None = None) -> bytes:
    """Returns the photo out of focus, all of it or an area alone; radius: the Gaussian's standard deviation."""
    image = _opened(photo)
    soft = image.filter(ImageFilter.GaussianBlur(radius_pixels))
    if area is None:
        return encoded(soft, "PNG")
    corners = (round(area[0]), round(area[1]), round(area[2]), round(area[3]))
    image.paste(soft.crop(corners), corners[:2])
    return encoded(image, "PNG")


def exposed(photo: Path, factor: float) -> bytes:
    """Returns the photo with that share of its light; what passes white stays white."""
    return encoded(_opened(photo).point(lambda level: min(round(level * factor), 255)), "PNG")


def veiled(photo: Path, share: float) -> bytes:
    """Returns the photo behind a white veil that covers that share of it, as light that falls into the lens does."""
    return encoded(_opened(photo).point(lambda level: round(level * (1 - share) + 255 * share)), "PNG")


def squeezed(photo: Path, quality: int) -> bytes:
    """Returns the photo as JPEG of that quality."""
    return encoded(_opened(photo), "JPEG", quality=quality)


def _opened(photo: Path) -> Image.Image:
    with Image.open(photo) as source:
        return source.convert("RGB")
