"""The real people of the corpus: portraits, and the faces of a crowd, out of the starter pack's photographs."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

# Centre of each face in the Solvay photograph, in pixels of its 3,000 × 2,171.
_SOLVAY_FACES = (
    (1905, 1191), (1237, 1217), (1633, 1185), (2318, 1110), (2620, 1130), (1092, 1097), (276, 1194), (900, 1195),
    (1992, 1101), (2732, 1248), (2497, 1209), (508, 811), (453, 1131), (591, 1207), (2151, 1188), (182, 1086),
    (757, 1095), (1710, 1079), (2124, 899), (2638, 891), (1881, 910), (1448, 1074), (1630, 895), (1404, 948),
    (2334, 888), (882, 938), (2494, 802), (729, 877), (1130, 927),
)  # fmt: skip
_REACH = 110
"""Pixels from a face's centre to the edge of its tile: the head, and little of the neighbours."""


@dataclass(frozen=True, slots=True)
class People:
    """RGB portraits of 512 × 652 and 768 × 432, the crowd as a file, and a tile of 220 × 220 for each face of it."""

    gauss: Image.Image
    newton: Image.Image
    crowd_jpeg: bytes
    faces: tuple[Image.Image, ...]

    def mosaic(self, columns: int, rows: int, tile_px: int) -> Image.Image:
        """Returns a wall of faces; once all have been shown they come again, mirrored every second time."""
        wall = Image.new("RGB", (columns * tile_px, rows * tile_px))
        for place in range(columns * rows):
            face = self.faces[place % len(self.faces)].resize((tile_px, tile_px), Image.Resampling.BICUBIC)
            if place // len(self.faces) % 2:
                face = face.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            wall.paste(face, (place % columns * tile_px, place // columns * tile_px))
        return wall

    def on_page(self, width: int, height: int) -> Image.Image:
        """Returns the portrait of Gauss in the middle of a gray page, four fifths of it high or wide."""
        scale = 0.8 * min(width / self.gauss.width, height / self.gauss.height)
        size = (round(self.gauss.width * scale), round(self.gauss.height * scale))
        page = Image.new("RGB", (width, height), (96, 104, 112))
        page.paste(
            self.gauss.resize(size, Image.Resampling.BILINEAR), ((width - size[0]) // 2, (height - size[1]) // 2)
        )
        return page


def load_people(photos: Path) -> People:
    """Reads the photographs of the starter pack's ``photos`` folder."""
    with Image.open(photos / "gauss.png") as image:
        gauss = image.convert("RGB").resize((512, 652), Image.Resampling.LANCZOS)
    with Image.open(photos / "newton.png") as image:
        newton = image.convert("RGB")
    crowd_jpeg = (photos / "solvay_conference_1927.jpg").read_bytes()
    with Image.open(photos / "solvay_conference_1927.jpg") as image:
        crowd = image.convert("RGB")
    faces = tuple(crowd.crop((x - _REACH, y - _REACH, x + _REACH, y + _REACH)) for x, y in _SOLVAY_FACES)
    return People(gauss, newton, crowd_jpeg, faces)
