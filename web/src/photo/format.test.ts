import { expect, test } from "vitest";
import { CHOOSABLE_TYPES, isAccepted, sniffFormat, type PhotoFormat } from "./format";

const bytes = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

test.each([
  ["\xff\xd8\xff\xe0", "jpeg"],
  ["\x89PNG\r\n\x1a\n", "png"],
  ["RIFF\x10\x00\x00\x00WEBPVP8 ", "webp"],
  ["\x00\x00\x00\x18ftypheic", "heic"],
  ["\x00\x00\x00\x18ftypmif1", "heic"],
  ["\x00\x00\x00\x18ftypisom", "other"],
  ["\x00\x00\x00\x20ftypavif", "avif"],
  ["GIF89a\x01\x00", "gif"],
  ["GIF87a\x01\x00", "gif"],
  ["BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00", "bmp"],
  ["II*\x00\x08\x00\x00\x00", "tiff"],
  ["MM\x00*\x00\x00\x00\x08", "tiff"],
  ["BMW is a car", "other"],
  ["hello, I am a JPEG", "other"],
  ["", "other"],
])("%j is %s", (signature, format) => {
  expect(sniffFormat(bytes(signature))).toBe(format);
});

test("only what the service reads is accepted", () => {
  const formats = ["jpeg", "png", "webp", "heic", "gif", "bmp", "tiff", "avif", "other"] as const;
  expect(formats.filter(isAccepted)).toEqual(["jpeg", "png", "webp"]);
});

test("the file chooser offers what is accepted, and HEIC", () => {
  const offered = CHOOSABLE_TYPES.split(",").map((type) => type.replace("image/", ""));
  expect(offered.filter((format) => !isAccepted(format as PhotoFormat))).toEqual(["heic", "heif"]);
  expect(offered).toHaveLength(5);
});
