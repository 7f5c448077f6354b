import { expect, test } from "vitest";
import { galleryNamed, queryNaming } from "./galleryName";

test("the address names the gallery, or leaves it to the gateway", () => {
  expect(galleryNamed("?gallery=family")).toBe("family");
  expect(galleryNamed("?lang=de")).toBe("");
  expect(galleryNamed("")).toBe("");
});

test("another gallery takes the place of the one before, and nothing else", () => {
  expect(queryNaming("friends", "?gallery=family&lang=de")).toBe("?gallery=friends&lang=de");
  expect(queryNaming("friends", "")).toBe("?gallery=friends");
});
