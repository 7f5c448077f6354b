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

/** Where the eyes sit in a face crop, as shares of its side; the gateway's crops are made with the same two numbers. */
export const EYE_HEIGHT = 0.42;
export const EYE_DISTANCE = 0.25;

/** Places a face so that its eyes are level, at the crops' height and distance. The frame shows the middle of a square crop. */
export function alignEyes(leftEye: Point, rightEye: Point, frame: Size): Placement {
  const side = Math.max(frame.width, frame.height);
  const across = rightEye.x - leftEye.x;
  const down = rightEye.y - leftEye.y;
  const distance = Math.max(Math.hypot(across, down), 1e-3);
  return {
    angle: -Math.atan2(down, across),
    scale: (EYE_DISTANCE * side) / distance,
    from: { x: (leftEye.x + rightEye.x) / 2, y: (leftEye.y + rightEye.y) / 2 },
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
