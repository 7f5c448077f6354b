import { isCancelled, passesByItself, toProblem, type Problem } from "./problem";

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 15_000;
/** Some ten minutes of waiting; a page that is left open must not go on for ever. */
const MAX_ATTEMPTS = 40;

/** How long to wait before attempt number `attempt` + 1, ms: what the service asks for, or a doubling wait; never in step with other pages. */
export function waitBeforeRetryMs(attempt: number, retryAfterMs: number | undefined, random = Math.random()): number {
  const doubling = Math.min(FIRST_WAIT_MS * 2 ** attempt, LONGEST_WAIT_MS);
  const asked = Math.min(retryAfterMs ?? 0, LONGEST_WAIT_MS);
  return Math.round(Math.max(asked, doubling * (0.75 + 0.5 * random)));
}

/** Waits; ends early, without an error, when the browser comes back online, and with AbortError when `signal` fires. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      globalThis.removeEventListener?.("online", finish);
    };
    const finish = () => (stop(), resolve());
    const abort = () => (stop(), reject(new DOMException("aborted", "AbortError")));
    const timer = setTimeout(finish, ms);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort);
    globalThis.addEventListener?.("online", finish);
  });
}

/**
 * Calls until it works, waiting out problems that pass by themselves; `onWait` hears of each, and when the next attempt
 * is, on the clock of Date.now(). Only for calls that change nothing: an answer that was lost cannot be told from a call
 * that never arrived. Gives up after MAX_ATTEMPTS, and throws what the last attempt threw.
 */
export async function untilReady<T>(
  call: () => Promise<T>,
  onWait: (problem: Problem, retryAt: number) => void,
  signal: AbortSignal,
  wait: typeof pause = pause,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await call();
    } catch (thrown) {
      if (signal.aborted || isCancelled(thrown)) throw thrown;
      const problem = toProblem(thrown);
      if (!passesByItself(problem) || attempt + 1 >= MAX_ATTEMPTS) throw thrown;
      const waitMs = waitBeforeRetryMs(attempt, problem.retryAfterMs);
      onWait(problem, Date.now() + waitMs);
      await wait(waitMs, signal);
    }
  }
}
