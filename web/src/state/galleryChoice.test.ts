import { expect, test } from "vitest";
import { choices, isSameGallery } from "./galleryChoice";

const family = { name: "family", faceCount: 3 };
const standard = { name: "default", faceCount: 12 };

test("one gallery is no choice", () => {
  expect(choices([], "", undefined)).toEqual([]);
  expect(choices([standard], "", { faceCount: 12 })).toEqual([]);
});

test("the current gallery has the count that was made of it", () => {
  const counted = { faceCount: 13 };
  expect(choices([standard, family], "", counted)).toEqual([{ ...counted, name: "default" }, family]);
  expect(choices([standard, family], "family", undefined)).toEqual([standard, family]);
});

test("a gallery that is not listed can be left for one that is", () => {
  const counted = { faceCount: 1 };
  expect(choices([standard], "secret", counted)).toEqual([standard, { ...counted, name: "secret" }]);
  expect(choices([standard], "not-there", undefined)).toEqual([standard]);
});

test("no name and the default one are the same gallery", () => {
  expect(isSameGallery("", "default")).toBe(true);
  expect(isSameGallery("", "family")).toBe(false);
});
