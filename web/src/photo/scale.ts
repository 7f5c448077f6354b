/** Longest side that is sent, px: more than the detector and the face crops need, little enough for a slow line. */
const LONGEST_SIDE_PX = 2048;

export interface Size {
  width: number;
  height: number;
}

/** The size to scale a photo to before it is sent, or undefined when it is small enough as it is. */
export function planScale(photo: Size, longestSidePx = LONGEST_SIDE_PX): Size | undefined {
  const longest = Math.max(photo.width, photo.height);
  if (longest <= longestSidePx) return undefined;
  const factor = longestSidePx / longest;
  return {
    width: Math.max(1, Math.round(photo.width * factor)),
    height: Math.max(1, Math.round(photo.height * factor)),
  };
}
