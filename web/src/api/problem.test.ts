import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "@gen/google/rpc/error_details_pb";
import { QualityIssue } from "@gen/twin/face/v1/face_pb";
import { describe, expect, test } from "vitest";
import { UnusableFile } from "../photo/prepare";
import { passesByItself, toProblem, toRemovalProblem } from "./problem";

const failure = (code: Code, reason: string, domain = "twin") =>
  new ConnectError("words", code, undefined, [{ desc: ErrorInfoSchema, value: { reason, domain } }]);

describe("toProblem", () => {
  test.each([
    [Code.FailedPrecondition, "NO_FACE", "no-face"],
    [Code.FailedPrecondition, "LOW_QUALITY", "low-quality"],
    [Code.InvalidArgument, "UNREADABLE_IMAGE", "unreadable"],
    [Code.InvalidArgument, "IMAGE_TOO_LARGE", "too-large"],
    [Code.Unavailable, "NOT_READY", "starting"],
    [Code.Unavailable, "DEPENDENCY_UNAVAILABLE", "degraded"],
    [Code.ResourceExhausted, "RATE_LIMITED", "overloaded"],
    [Code.AlreadyExists, "DUPLICATE_PHOTO", "duplicate"],
    [Code.NotFound, "NOT_FOUND", "not-found"],
  ])("code %s with reason %s is %s", (code, reason, kind) => {
    expect(toProblem(failure(code, reason), true)).toMatchObject({ kind });
  });

  test("a reason of another domain is not ours to read", () => {
    expect(toProblem(failure(Code.Internal, "NO_FACE", "example.com"), true).kind).toBe("unexpected");
  });

  test("a bare UNAVAILABLE, as a proxy sends, is a service that is starting", () => {
    expect(toProblem(new ConnectError("", Code.Unavailable), true).kind).toBe("starting");
  });

  test("the delay that the service asks for is kept", () => {
    const thrown = new ConnectError("busy", Code.ResourceExhausted, undefined, [
      { desc: ErrorInfoSchema, value: { reason: "OVERLOADED", domain: "twin" } },
      { desc: RetryInfoSchema, value: { retryDelay: { seconds: 2n, nanos: 500_000_000 } } },
    ]);
    expect(toProblem(thrown, true)).toEqual({ kind: "overloaded", retryAfterMs: 2500 });
  });

  test("no answer at all is told apart by whether the browser is online", () => {
    const thrown = ConnectError.from(new TypeError("Failed to fetch"));
    expect(toProblem(thrown, true).kind).toBe("unreachable");
    expect(toProblem(thrown, false).kind).toBe("offline");
  });

  test("a file that is no photo keeps its reason", () => {
    expect(toProblem(new UnusableFile("heic"), true)).toEqual({ kind: "heic" });
  });

  test("a picture of a kind that is not read is named", () => {
    expect(toProblem(new UnusableFile("unread-format", "gif"), true)).toEqual({ kind: "unread-format", format: "gif" });
  });

  test("the limit that the service names is kept", () => {
    const metadata = { limit: "50000000", actual: "900000000", unit: "pixels" };
    const thrown = new ConnectError("words", Code.InvalidArgument, undefined, [
      { desc: ErrorInfoSchema, value: { reason: "IMAGE_TOO_LARGE", domain: "twin", metadata } },
    ]);
    expect(toProblem(thrown, true)).toEqual({ kind: "too-large", limit: { amount: 50_000_000, unit: "pixels" } });
  });

  test("what is wrong with a face is kept, as far as it is known here", () => {
    const metadata = { issues: "TOO_SMALL,HIDDEN,BLURRED", face_index: "2" };
    const thrown = new ConnectError("words", Code.FailedPrecondition, undefined, [
      { desc: ErrorInfoSchema, value: { reason: "LOW_QUALITY", domain: "twin", metadata } },
    ]);
    expect(toProblem(thrown, true)).toEqual({
      kind: "low-quality",
      issues: [QualityIssue.TOO_SMALL, QualityIssue.BLURRED],
    });
  });

  test("a refusal by the transport, which names no limit, has the usual one", () => {
    const thrown = new ConnectError("message too large", Code.ResourceExhausted);
    expect(toProblem(thrown, true)).toEqual({ kind: "too-large", limit: { amount: 20 * 2 ** 20, unit: "bytes" } });
  });

  test("a bug shows the service's own words, which hold its reference", () => {
    expect(toProblem(new ConnectError("error 7f3a", Code.Internal), true)).toEqual({
      kind: "unexpected",
      detail: "error 7f3a",
    });
  });
});

test("only a removal blames what was copied from the receipt", () => {
  const unknown = failure(Code.NotFound, "NOT_FOUND");
  const malformed = failure(Code.InvalidArgument, "INVALID_FIELD");
  expect([unknown, malformed].map((thrown) => toProblem(thrown, true).kind)).toEqual(["not-found", "malformed"]);
  expect([unknown, malformed].map((thrown) => toRemovalProblem(thrown, true))).toEqual([
    { kind: "receipt-unknown" },
    { kind: "receipt-incomplete" },
  ]);
  expect(toRemovalProblem(failure(Code.Unavailable, "NOT_READY"), true).kind).toBe("starting");
});

test("only what passes by itself is waited out", () => {
  const kinds = [
    "starting",
    "degraded",
    "overloaded",
    "unreachable",
    "offline",
    "no-face",
    "too-large",
    "unexpected",
  ] as const;
  expect(kinds.filter((kind) => passesByItself({ kind }))).toEqual([
    "starting",
    "degraded",
    "overloaded",
    "unreachable",
    "offline",
  ]);
});
