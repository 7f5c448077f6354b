import { QualityIssue } from "@gen/twin/face/v1/face_pb";
import { ExportedOriginal } from "@gen/twin/gateway/v1/gateway_pb";
import { describe, expect, test } from "vitest";
import { de } from "./de";
import { en } from "./en";

describe("numbers", () => {
  test("the share of the gallery is rounded down, so that it is never more than the truth", () => {
    expect(en.verdict.share(0.99799, 12345)).toBe("Closer than 99.7\u202f% of 12,345 faces");
    expect(en.verdict.share(0.965, 29)).toBe("Closer than 96.5\u202f% of 29 faces");
    expect(en.verdict.share(1, 1)).toBe("Closer than 100\u202f% of 1 face");
  });

  test("the share needs no count", () => {
    expect(en.verdict.share(0.5, undefined)).toBe("Closer than 50\u202f% of the gallery");
  });

  test("a likeness is a whole number below 100", () => {
    expect([-1, 0.4, 37.5, 99.9].map(en.verdict.percent)).toEqual(["0", "0", "38", "99"]);
  });
});

test("a weak likeness is called weak", () => {
  const words = (percent: number) => en.verdict.words(percent, "lookalike");
  expect(words(3)).toMatch(/not close/);
  expect(words(9.6)).toBe(words(10));
  expect(words(70)).toBe("Uncanny.");
});

test("every problem says what it is and what to do", () => {
  for (const kind of [
    "no-face",
    "low-quality",
    "unreadable",
    "too-large",
    "heic",
    "starting",
    "overloaded",
    "offline",
  ] as const) {
    const { title, advice } = en.problem({ kind });
    expect(title).not.toBe("");
    expect(advice).not.toBe("");
  }
});

test("a picture that is not read is called by its name, and told what works", () => {
  const { title, advice } = en.problem({ kind: "unread-format", format: "gif" });
  expect(title).toBe("GIF pictures cannot be read");
  expect(advice).toMatch(/^JPEG, PNG and WebP photos work/);
});

test("a face that is too poor to keep is told each reason before what to do", () => {
  const { advice } = en.problem({ kind: "low-quality", issues: [QualityIssue.TOO_SMALL, QualityIssue.TOO_DARK] });
  expect(advice).toMatch(/^It is too small in the photo: .* It is too dark: .* Try another photo\.$/);
  expect(en.problem({ kind: "low-quality", issues: [] }).advice).toMatch(/^Kept like this/);
});

test.each([
  [{ amount: 20 * 2 ** 20, unit: "bytes" }, "20\u00a0MiB"],
  [{ amount: 1.99 * 2 ** 20, unit: "bytes" }, "1.9\u00a0MiB"],
  [{ amount: 2 ** 19, unit: "bytes" }, "512\u00a0KiB"],
  [{ amount: 50_000_000, unit: "pixels" }, "50\u00a0megapixels"],
  [{ amount: 640_000, unit: "pixels" }, "640,000\u00a0pixels"],
] as const)("a photo over %j is told of %s", (limit, words) => {
  expect(en.problem({ kind: "too-large", limit }).advice).toContain(`up to ${words} work`);
});

test("only a search that waits promises to go on by itself", () => {
  for (const kind of ["starting", "overloaded", "unreachable", "offline"] as const) {
    expect(en.problem({ kind }).advice).toMatch(/^(It may be restarting. )?Try again/);
    expect(en.waiting({ kind }).advice).not.toMatch(/Try again/);
  }
});

test("the receipt file holds what deletes the photo", () => {
  const file = en.receipt.file("me.jpg", "id-1", "token-2", "http://localhost/#manage");
  expect(file).toContain("Photo id: id-1\n");
  expect(file).toContain("Deletion token: token-2\n");
  expect(file).toContain("http://localhost/#manage");
});

test("a download that lacks the photo does not claim to have it", () => {
  const { OUT_OF_REACH, NOT_KEPT, GONE, INCLUDED } = ExportedOriginal;
  for (const original of [NOT_KEPT, GONE]) {
    expect(en.manage.exported(original)).toMatch(/The photo itself is not kept here/);
    expect(de.manage.exported(original)).toMatch(/Das Foto selbst wird hier nicht aufbewahrt/);
  }
  expect(en.manage.exported(OUT_OF_REACH)).toMatch(/The photo itself is held, too, but/);
  expect(de.manage.exported(OUT_OF_REACH)).toMatch(/Das Foto selbst wird auch aufbewahrt, ist/);
  expect(en.manage.exported(INCLUDED)).toMatch(/: the photo, its faces/);
});
