import { expect, test } from "vitest";
import { newToken, newUuid } from "./receiptNumbers";

test("ids are version 4 UUIDs, each a new one", () => {
  const ids = Array.from({ length: 50 }, newUuid);
  for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(new Set(ids).size).toBe(50);
});

test("tokens are 256 bits of base64url, each a new one", () => {
  const tokens = Array.from({ length: 50 }, newToken);
  for (const token of tokens) expect(token).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(new Set(tokens).size).toBe(50);
});
