import type { Box } from "./alignment";
import type { Size } from "./scale";

/** Where a box of a photo lies over the whole of it, as styles of what is laid there; both in the photo's pixels. */
export function boxOver(photo: Size, { left, top, width, height }: Box) {
  const share = (part: number, whole: number) => `${((100 * part) / whole).toFixed(3)}%`;
  return {
    left: share(left, photo.width),
    top: share(top, photo.height),
    width: share(width, photo.width),
    height: share(height, photo.height),
  };
}
