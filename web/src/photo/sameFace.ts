import type { Box, Face } from "@gen/twin/face/v1/face_pb";

/** How much two boxes have to share to be of one face: neighbours hardly touch, and one face found twice is nearly the same box. */
const MIN_OVERLAP = 0.3;

type Rectangle = Pick<Box, "left" | "top" | "width" | "height">;

/** The index of the face that lies where the box is, px of the same photo; undefined when none does. */
export function faceAt(faces: readonly Face[], box: Rectangle): number | undefined {
  let best: number | undefined;
  let most = MIN_OVERLAP;
  for (const face of faces) {
    const shared = face.box ? overlap(face.box, box) : 0;
    if (shared >= most) [best, most] = [face.index, shared];
  }
  return best;
}

/** The same rectangle in a photo that is `scale` times as large. */
export function scaled({ left, top, width, height }: Rectangle, scale: number): Rectangle {
  return { left: left * scale, top: top * scale, width: width * scale, height: height * scale };
}

/** Intersection over union, 0 to 1. */
function overlap(first: Rectangle, second: Rectangle): number {
  const width = shared(first.left, first.width, second.left, second.width);
  const height = shared(first.top, first.height, second.top, second.height);
  const both = width * height;
  const either = first.width * first.height + second.width * second.height - both;
  return either > 0 ? both / either : 0;
}

function shared(start: number, length: number, otherStart: number, otherLength: number): number {
  return Math.max(0, Math.min(start + length, otherStart + otherLength) - Math.max(start, otherStart));
}
