import type { Size } from "./scale";

export interface Point {
  x: number;
  y: number;
}

/** A similarity from photo pixels to frame pixels: turn by `angle` radians, scale, and put `from` at `to`. */
export interface Placement {
  angle: number;
  scale: number;
  /** Photo px. */
  from: Point;
  /** Frame px. */
  to: Point;
}

/** Where the eyes sit in a face crop, as a share of its height; the gateway's crops (gateway/pixels.py) have the same. */
export const EYE_HEIGHT = 0.42;
/** Side of a face crop as a multiple of the box's longer side; the gateway's crops have the same. */
export const CROP_MARGIN = 1.7;

export interface Box extends Size {
  left: number;
  top: number;
}

/**
 * Places a face as the gateway's crops show theirs: eyes level and at EYE_HEIGHT, the box's centre in the middle of the
 * width. The frame shows the middle of a square crop that covers it.
 */
export function alignEyes(leftEye: Point, rightEye: Point, box: Box, frame: Size): Placement {
  const side = Math.max(frame.width, frame.height);
  const angle = -Math.atan2(rightEye.y - leftEye.y, rightEye.x - leftEye.x);
  const centre = { x: box.left + box.width / 2, y: box.top + box.height / 2 };
  const eyes = { x: (leftEye.x + rightEye.x) / 2, y: (leftEye.y + rightEye.y) / 2 };
  // From the eyes along their own line, to the point below or above the box's centre.
  const along = (centre.x - eyes.x) * Math.cos(angle) - (centre.y - eyes.y) * Math.sin(angle);
  return {
    angle,
    scale: side / (CROP_MARGIN * Math.max(box.width, box.height, 1)),
    from: { x: eyes.x + along * Math.cos(angle), y: eyes.y - along * Math.sin(angle) },
    to: { x: frame.width / 2, y: frame.height / 2 + (EYE_HEIGHT - 0.5) * side },
  };
}

/** Places a whole photo so that it fits inside the frame, about the same photo point as `focus` so that the two can be blended. */
export function fitWhole(photo: Size, frame: Size, focus: Point): Placement {
  const scale = Math.min(frame.width / photo.width, frame.height / photo.height);
  return {
    angle: 0,
    scale,
    from: focus,
    to: {
      x: frame.width / 2 + (focus.x - photo.width / 2) * scale,
      y: frame.height / 2 + (focus.y - photo.height / 2) * scale,
    },
  };
}

/** The placement a share `t` (0..1) of the way between two; scales blend by their ratio, so that the zoom feels even. */
export function blend(first: Placement, second: Placement, t: number): Placement {
  const mix = (a: number, b: number) => a + (b - a) * t;
  return {
    angle: mix(first.angle, second.angle),
    scale: first.scale * (second.scale / first.scale) ** t,
    from: { x: mix(first.from.x, second.from.x), y: mix(first.from.y, second.from.y) },
    to: { x: mix(first.to.x, second.to.x), y: mix(first.to.y, second.to.y) },
  };
}

/** The six numbers that CanvasRenderingContext2D.setTransform takes. */
export function toMatrix(placement: Placement): [number, number, number, number, number, number] {
  const cos = placement.scale * Math.cos(placement.angle);
  const sin = placement.scale * Math.sin(placement.angle);
  const { from, to } = placement;
  return [cos, sin, -sin, cos, to.x - cos * from.x + sin * from.y, to.y - sin * from.x - cos * from.y];
}
