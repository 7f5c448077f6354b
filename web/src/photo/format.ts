/** Pictures that neither the service nor this page reads. */
export type UnreadFormat = "gif" | "bmp" | "tiff" | "avif";
export type PhotoFormat = "jpeg" | "png" | "webp" | "heic" | UnreadFormat | "other";

/** What the file chooser offers: what the service reads, and HEIC, which some browsers can turn into it. */
export const CHOOSABLE_TYPES = "image/jpeg,image/png,image/webp,image/heic,image/heif";

const ascii = (bytes: Uint8Array, from: number, to: number): string =>
  String.fromCharCode(...bytes.subarray(from, Math.min(to, bytes.length)));

/** Brands of the ISO media container that mean HEIC or HEIF (ISO/IEC 23008-12). */
const HEIC_BRANDS = new Set(["heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1"]);
/** Brands that mean AVIF (AV1 Image File Format, section 4): a picture, and a sequence of them. */
const AVIF_BRANDS = new Set(["avif", "avis"]);

/** Says what the bytes are by their signature; a file's name and declared type are often wrong. */
export function sniffFormat(bytes: Uint8Array): PhotoFormat {
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return "jpeg";
  if (ascii(bytes, 0, 4) === "\x89PNG") return "png";
  if (ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 12) === "WEBP") return "webp";
  if (ascii(bytes, 4, 8) === "ftyp") {
    const brand = ascii(bytes, 8, 12);
    if (HEIC_BRANDS.has(brand)) return "heic";
    if (AVIF_BRANDS.has(brand)) return "avif";
  }
  if (["GIF87a", "GIF89a"].includes(ascii(bytes, 0, 6))) return "gif";
  if (["II*\0", "MM\0*"].includes(ascii(bytes, 0, 4))) return "tiff";
  // Two letters would say too little; the four bytes after the size are reserved, and zero.
  if (ascii(bytes, 0, 2) === "BM" && ascii(bytes, 6, 10) === "\0\0\0\0") return "bmp";
  return "other";
}

/** True for the formats that the service reads. */
export function isAccepted(format: PhotoFormat): format is "jpeg" | "png" | "webp" {
  return format === "jpeg" || format === "png" || format === "webp";
}
