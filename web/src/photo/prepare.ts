import { isAccepted, sniffFormat, type UnreadFormat } from "./format";
import { planScale, type Size } from "./scale";

/** A photo that is ready to be sent and shown. */
export interface PreparedPhoto {
  name: string;
  /** What is sent: JPEG, PNG or WebP. */
  bytes: Uint8Array;
  /** A blob: address of the same bytes, good until the photo is let go. */
  url: string;
  /** Pixels of what is sent for one pixel of the file; 1 unless it was scaled down. */
  scale: number;
  /** True for a photo out of the gallery: its owner has kept it already. */
  borrowed: boolean;
}

/** Why a file cannot be searched with, found before anything is sent. */
export class UnusableFile extends Error {
  constructor(
    readonly why: "heic" | "unread-format" | "not-a-photo" | "empty" | "unreadable",
    /** What it is, for an unread format. */
    readonly format?: UnreadFormat,
  ) {
    super(why);
  }
}

const JPEG_QUALITY = 0.92;
/** As many as sniffFormat looks at. */
const SIGNATURE_BYTES = 12;

/** Reads a file, and scales it down when it is larger than the search needs. Throws UnusableFile. */
export async function preparePhoto(file: File, borrowed = false): Promise<PreparedPhoto> {
  if (file.size === 0) throw new UnusableFile("empty");
  // The signature first: what is no photo may be a film of many gigabytes.
  const format = sniffFormat(await read(file.slice(0, SIGNATURE_BYTES)));
  if (format === "other") throw new UnusableFile("not-a-photo");
  if (format !== "heic" && !isAccepted(format)) throw new UnusableFile("unread-format", format);

  const redrawn = await redraw(file, !isAccepted(format));
  // Only some browsers can decode HEIC, and the service cannot.
  if (!redrawn && !isAccepted(format)) throw new UnusableFile("heic");

  const bytes = await read(redrawn?.blob ?? file);
  const url = URL.createObjectURL(redrawn?.blob ?? new Blob([bytes], { type: `image/${format}` }));
  return { name: file.name || "photo", bytes, url, scale: redrawn?.scale ?? 1, borrowed };
}

/** The bytes of a file. Throws UnusableFile for one that is a folder, or that went away since it was chosen. */
async function read(file: Blob): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch {
    throw new UnusableFile("unreadable");
  }
}

interface Redrawn {
  blob: Blob;
  /** Pixels of the blob for one pixel of the file. */
  scale: number;
}

/** The photo as an upright JPEG of at most the longest side; undefined when it may stay as it is, or cannot be decoded here. */
async function redraw(file: Blob, always: boolean): Promise<Redrawn | undefined> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    // The service may still read it, and names what is wrong when it cannot.
    return undefined;
  }
  try {
    const size = planScale(bitmap) ?? (always ? { width: bitmap.width, height: bitmap.height } : undefined);
    const blob = size && (await toJpeg(bitmap, size));
    return blob && { blob, scale: size.width / bitmap.width };
  } finally {
    bitmap.close();
  }
}

async function toJpeg(bitmap: ImageBitmap, size: Size): Promise<Blob | undefined> {
  const canvas = document.createElement("canvas");
  canvas.width = size.width;
  canvas.height = size.height;
  const context = canvas.getContext("2d");
  if (!context) return undefined;
  // JPEG has no transparency: what shows through is white, as on paper.
  context.fillStyle = "#fff";
  context.fillRect(0, 0, size.width, size.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, size.width, size.height);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/jpeg", JPEG_QUALITY));
  return blob ?? undefined;
}
