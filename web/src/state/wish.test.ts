import { create } from "@bufbuild/protobuf";
import { FaceResultSchema } from "@gen/twin/gateway/v1/gateway_pb";
import { expect, test } from "vitest";
import { alikeEnough, FIRST_LIMIT, mayHoldMore, MORE_LIMIT, shownPercent } from "./wish";

const result = (...percents: number[]) =>
  create(FaceResultSchema, { twins: percents.map((percent) => ({ match: { similarity: { percent } } })) });

test("a match passes with the percentage that is shown for it", () => {
  const { twins } = result(40.2, 36.5, 36.4, 10);
  expect(alikeEnough(twins, 37).map(shownPercent)).toEqual([40, 37]);
  expect(alikeEnough(twins, 0)).toHaveLength(4);
  expect(alikeEnough(twins, 41)).toEqual([]);
});

test("more is there to ask for only where the answer was cut off above the minimum", () => {
  const full = result(...Array.from({ length: FIRST_LIMIT }, (_, place) => 50 - place));
  expect(mayHoldMore(full, FIRST_LIMIT, 0)).toBe(true);
  expect(mayHoldMore(full, FIRST_LIMIT, 36)).toBe(true);
  expect(mayHoldMore(full, FIRST_LIMIT, 37)).toBe(false);
  expect(mayHoldMore(result(50, 40), FIRST_LIMIT, 0)).toBe(false);
  expect(mayHoldMore(result(), FIRST_LIMIT, 0)).toBe(false);
});

test("the gateway is never asked for more than it gives", () => {
  const full = result(...Array.from({ length: MORE_LIMIT }, () => 50));
  expect(mayHoldMore(full, MORE_LIMIT, 0)).toBe(false);
});
