import { describe, expect, test } from "vitest";
import {
  alignEyes,
  blend,
  EYE_DISTANCE,
  EYE_HEIGHT,
  fitWhole,
  toMatrix,
  type Placement,
  type Point,
} from "./alignment";

function apply(placement: Placement, { x, y }: Point): Point {
  const [a, b, c, d, e, f] = toMatrix(placement);
  return { x: a * x + c * y + e, y: b * x + d * y + f };
}

describe("alignEyes", () => {
  const frame = { width: 400, height: 500 };

  test.each([
    ["level", { x: 100, y: 200 }, { x: 160, y: 200 }],
    ["tilted", { x: 100, y: 200 }, { x: 150, y: 240 }],
    ["on its side", { x: 100, y: 200 }, { x: 100, y: 260 }],
  ])("puts the eyes of a %s head level, at the crop's height and distance", (_name, left, right) => {
    const placement = alignEyes(left, right, frame);
    const [newLeft, newRight] = [apply(placement, left), apply(placement, right)];
    expect(newLeft.y).toBeCloseTo(EYE_HEIGHT * 500, 3);
    expect(newRight.y).toBeCloseTo(EYE_HEIGHT * 500, 3);
    expect(newRight.x - newLeft.x).toBeCloseTo(EYE_DISTANCE * 500, 3);
    expect((newLeft.x + newRight.x) / 2).toBeCloseTo(200, 3);
  });

  test("shows the middle of the square crop in a frame that is wider than high", () => {
    const placement = alignEyes({ x: 0, y: 0 }, { x: 10, y: 0 }, { width: 500, height: 400 });
    expect(apply(placement, { x: 5, y: 0 })).toEqual({ x: 250, y: expect.closeTo(EYE_HEIGHT * 500 - 50, 3) });
  });

  test("stays finite when both eyes are one point", () => {
    const point = { x: 5, y: 5 };
    expect(Number.isFinite(alignEyes(point, point, frame).scale)).toBe(true);
  });
});

test("fitWhole keeps the whole photo inside the frame, centred", () => {
  const placement = fitWhole({ width: 3000, height: 2000 }, { width: 300, height: 400 }, { x: 700, y: 100 });
  expect(apply(placement, { x: 0, y: 0 })).toEqual({ x: expect.closeTo(0, 6), y: expect.closeTo(100, 6) });
  expect(apply(placement, { x: 3000, y: 2000 })).toEqual({ x: expect.closeTo(300, 6), y: expect.closeTo(300, 6) });
});

test("blend begins and ends at its two placements", () => {
  const first = fitWhole({ width: 10, height: 10 }, { width: 100, height: 100 }, { x: 2, y: 2 });
  const second = alignEyes({ x: 1, y: 2 }, { x: 3, y: 3 }, { width: 100, height: 100 });
  expect(blend(first, second, 0)).toEqual(first);
  expect(blend(first, second, 1).scale).toBeCloseTo(second.scale, 6);
  expect(blend(first, second, 0.5).scale).toBeCloseTo(Math.sqrt(first.scale * second.scale), 6);
});
