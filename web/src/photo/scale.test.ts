import { expect, test } from "vitest";
import { planScale } from "./scale";

test("a photo within the limit is left as it is", () => {
  expect(planScale({ width: 2048, height: 1536 })).toBeUndefined();
});

test("a phone photo is scaled to the limit on its longest side", () => {
  expect(planScale({ width: 4000, height: 3000 })).toEqual({ width: 2048, height: 1536 });
  expect(planScale({ width: 3000, height: 4000 })).toEqual({ width: 1536, height: 2048 });
});

test("a very long strip keeps at least one pixel", () => {
  expect(planScale({ width: 30000, height: 1 })).toEqual({ width: 2048, height: 1 });
});
