import { expect, test } from "vitest";
import { isAccepted, sniffFormat } from "./format";

const bytes = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

test.each([
  ["\xff\xd8\xff\xe0", "jpeg"],
  ["\x89PNG\r\n\x1a\n", "png"],
  ["RIFF\x10\x00\x00\x00WEBPVP8 ", "webp"],
  ["\x00\x00\x00\x18ftypheic", "heic"],
  ["\x00\x00\x00\x18ftypmif1", "heic"],
  ["\x00\x00\x00\x18ftypisom", "other"],
  ["GIF89a", "other"],
  ["hello, I am a JPEG", "other"],
  ["", "other"],
])("%j is %s", (signature, format) => {
  expect(sniffFormat(bytes(signature))).toBe(format);
});

test("only what the service reads is accepted", () => {
  expect(["jpeg", "png", "webp", "heic", "other"].map((format) => isAccepted(format as "jpeg"))).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
});
