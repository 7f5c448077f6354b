import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, test, vi } from "vitest";
import { pause, untilReady, waitBeforeRetryMs } from "./retry";

// Node has no browser to ask whether it is online.
vi.stubGlobal("navigator", { onLine: true });

const starting = () => new ConnectError("loading", Code.Unavailable);
const noWait = async () => {};

describe("waitBeforeRetryMs", () => {
  test("doubles up to a limit", () => {
    expect([0, 1, 2, 3, 4, 9].map((attempt) => waitBeforeRetryMs(attempt, undefined, 0.5))).toEqual([
      1000, 2000, 4000, 8000, 15000, 15000,
    ]);
  });

  test("is never shorter than what the service asks for", () => {
    expect(waitBeforeRetryMs(0, 5000, 0.5)).toBe(5000);
  });

  test("bounds what the service may ask for", () => {
    expect(waitBeforeRetryMs(0, 3_600_000, 0.5)).toBe(15_000);
  });
});

describe("untilReady", () => {
  test("asks again until the service is up, and says so each time", async () => {
    const call = vi.fn().mockRejectedValueOnce(starting()).mockRejectedValueOnce(starting()).mockResolvedValue("found");
    const onWait = vi.fn();
    expect(await untilReady(call, onWait, new AbortController().signal, noWait)).toBe("found");
    expect(onWait.mock.calls.map(([problem]) => problem.kind)).toEqual(["starting", "starting"]);
    expect(onWait.mock.calls.every(([, retryAt]) => retryAt > Date.now())).toBe(true);
  });

  test("gives up at once on a problem that waiting does not mend", async () => {
    const call = vi.fn().mockRejectedValue(new ConnectError("bad", Code.InvalidArgument));
    await expect(untilReady(call, () => {}, new AbortController().signal, noWait)).rejects.toThrow("bad");
    expect(call).toHaveBeenCalledTimes(1);
  });

  test("does not go on for ever", async () => {
    const call = vi.fn().mockRejectedValue(starting());
    await expect(untilReady(call, () => {}, new AbortController().signal, noWait)).rejects.toThrow("loading");
    expect(call).toHaveBeenCalledTimes(40);
  });

  test("stops waiting when it is cancelled", async () => {
    const abort = new AbortController();
    const waiting = untilReady(
      () => Promise.reject(starting()),
      () => abort.abort(),
      abort.signal,
    );
    await expect(waiting).rejects.toMatchObject({ name: "AbortError" });
  });
});

test("a pause ends with AbortError when cancelled", async () => {
  const abort = new AbortController();
  const pausing = pause(60_000, abort.signal);
  abort.abort();
  await expect(pausing).rejects.toMatchObject({ name: "AbortError" });
});
