import { expect, test } from "vitest";
import { inSize } from "./address";

test("only the size of an address changes", () => {
  expect(inSize("/photos/7?size=thumb&face=3&expires=9&signature=ab", "large")).toBe(
    "/photos/7?size=large&face=3&expires=9&signature=ab",
  );
});

test("an address without a size is left alone", () => {
  expect(inSize("/photos/7", "large")).toBe("/photos/7");
});
