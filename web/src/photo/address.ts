/** The gateway's picture sizes: a face is 256, 640 or 1,024 px; a photo 320 or 1,600 px, or as large as it was given. */
export type PictureSize = "thumb" | "large" | "original";

/** The same picture in another size; its signature holds for all of them. */
export function inSize(url: string, size: PictureSize): string {
  return url.replace(/([?&]size=)[a-z]+/, `$1${size}`);
}
