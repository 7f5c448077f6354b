import { describe, expect, test } from "vitest";
import { emptyComparison, freeSide, withPhoto, type ComparedPhoto, type Comparison } from "./compare";

const reading: ComparedPhoto = { phase: "reading" };
const failed: ComparedPhoto = { phase: "failed", problem: { kind: "no-face" } };
const of = (first: ComparedPhoto, second: ComparedPhoto): Comparison => ({
  ...emptyComparison,
  photos: [first, second],
});

test("another photo on one side leaves the other, and ends what was said of both", () => {
  const before: Comparison = { photos: [reading, failed], outcome: { phase: "done", percent: 40, samePerson: false } };
  expect(withPhoto(before, 0, failed)).toEqual({ photos: [failed, failed], outcome: { phase: "idle" } });
  expect(withPhoto(before, 1, reading)).toEqual({ photos: [reading, reading], outcome: { phase: "idle" } });
});

describe("the next photo goes", () => {
  const empty: ComparedPhoto = { phase: "empty" };
  test.each([
    ["to the first side of an empty pair", of(empty, empty), 0],
    ["to the second when the first is taken", of(reading, empty), 1],
    ["in place of one that failed", of(failed, reading), 0],
    ["in place of the second when both are there", of(reading, reading), 1],
  ] as const)("%s", (_, comparison, side) => {
    expect(freeSide(comparison)).toBe(side);
  });
});
