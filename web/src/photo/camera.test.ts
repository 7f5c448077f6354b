import { expect, test } from "vitest";
import { cameraProblem } from "./camera";

test.each([
  ["NotAllowedError", "denied"],
  ["SecurityError", "denied"],
  ["NotFoundError", "none"],
  ["OverconstrainedError", "none"],
  ["NotReadableError", "busy"],
  ["AbortError", "busy"],
  ["InvalidStateError", "failed"],
])("%s means %s", (name, problem) => {
  expect(cameraProblem(new DOMException("words", name))).toBe(problem);
});

test("what is no error of the browser's is no problem of its own", () => {
  expect(cameraProblem(new TypeError("NotAllowedError"))).toBe("failed");
});
