import { describe, expect, test } from "vitest";
import { alignEyes, blend, CROP_MARGIN, EYE_HEIGHT, fitWhole, toMatrix, type Placement, type Point } from "./alignment";

function apply(placement: Placement, { x, y }: Point): Point {
  const [a, b, c, d, e, f] = toMatrix(placement);
  return { x: a * x + c * y + e, y: b * x + d * y + f };
}

describe("alignEyes", () => {
  const frame = { width: 400, height: 500 };
  const box = { left: 80, top: 150, width: 100, height: 140 };

  test.each([
    ["level", { x: 100, y: 200 }, { x: 160, y: 200 }],
    ["tilted", { x: 100, y: 200 }, { x: 150, y: 240 }],
    ["on its side", { x: 130, y: 190 }, { x: 130, y: 250 }],
  ])("puts the eyes of a %s head level, at the crops' height, with the box in the middle", (_name, left, right) => {
    const placement = alignEyes(left, right, box, frame);
    expect(apply(placement, left).y).toBeCloseTo(EYE_HEIGHT * 500, 3);
    expect(apply(placement, right).y).toBeCloseTo(EYE_HEIGHT * 500, 3);
    expect(apply(placement, right).x).toBeGreaterThan(apply(placement, left).x);
    expect(apply(placement, { x: 130, y: 220 }).x).toBeCloseTo(200, 3);
    expect(placement.scale).toBeCloseTo(500 / (CROP_MARGIN * 140), 6);
  });

  test("shows the middle of the square crop in a frame that is wider than high", () => {
    const placement = alignEyes({ x: 125, y: 200 }, { x: 135, y: 200 }, box, { width: 500, height: 400 });
    expect(apply(placement, { x: 130, y: 200 })).toEqual({ x: 250, y: expect.closeTo(EYE_HEIGHT * 500 - 50, 3) });
  });

  test("stays finite for a face without any size", () => {
    const point = { x: 5, y: 5 };
    const nothing = { left: 5, top: 5, width: 0, height: 0 };
    expect(Number.isFinite(alignEyes(point, point, nothing, frame).scale)).toBe(true);
  });
});

test("fitWhole keeps the whole photo inside the frame, centred", () => {
  const placement = fitWhole({ width: 3000, height: 2000 }, { width: 300, height: 400 }, { x: 700, y: 100 });
  expect(apply(placement, { x: 0, y: 0 })).toEqual({ x: expect.closeTo(0, 6), y: expect.closeTo(100, 6) });
  expect(apply(placement, { x: 3000, y: 2000 })).toEqual({ x: expect.closeTo(300, 6), y: expect.closeTo(300, 6) });
});

test("blend begins and ends at its two placements", () => {
  const first = fitWhole({ width: 10, height: 10 }, { width: 100, height: 100 }, { x: 2, y: 2 });
  const second = alignEyes(
    { x: 1, y: 2 },
    { x: 3, y: 3 },
    { left: 1, top: 1, width: 4, height: 5 },
    { width: 100, height: 100 },
  );
  expect(blend(first, second, 0)).toEqual(first);
  expect(blend(first, second, 1).scale).toBeCloseTo(second.scale, 6);
  expect(blend(first, second, 0.5).scale).toBeCloseTo(Math.sqrt(first.scale * second.scale), 6);
});
