"""Pictures in the forms that people's devices give them, with everything in them that must not be kept."""

import io

import numpy as np
from PIL import Image, PngImagePlugin

SECRETS = (b"a secret place", b"SecretCamera")


def picture(form: str = "JPEG", *, size: tuple[int, int] = (160, 120), seed: int = 1) -> bytes:
    """Returns a picture of smooth noise, without metadata."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize(size, Image.Resampling.BICUBIC).save(buffer, form)
    return buffer.getvalue()


def with_secrets(form: str, *, orientation: int = 6) -> bytes:
    """Returns a picture with EXIF (GPS, camera, orientation), a comment and a colour profile."""
    with Image.open(io.BytesIO(picture("PNG"))) as source:
        image = source.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    exif.get_ifd(0x8825)[29] = "a secret place"
    profile = b"a secret place in a profile" + bytes(200)
    buffer = io.BytesIO()
    if form == "JPEG":
        image.save(buffer, form, exif=exif, comment=b"a secret place", icc_profile=profile, quality=95)
    elif form == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", "a secret place")
        image.save(buffer, form, exif=exif, pnginfo=text, icc_profile=profile)
    else:
        image.save(buffer, form, exif=exif, icc_profile=profile)
    data = buffer.getvalue()
    assert any(secret in data for secret in SECRETS)
    return data
