import { twinService } from "../api/client";
import { isCancelled, toProblem, type Problem } from "../api/problem";
import { untilReady } from "../api/retry";
import { preparePhoto, type PreparedPhoto } from "../photo/prepare";
import { countGallery } from "./gallery";
import { page } from "./page";
import type { FoundFaces, Search } from "./state";
import { FIRST_LIMIT, MATCH_MODES, MORE_LIMIT, type Mode } from "./wish";

const SEARCH_TIMEOUT_MS = 30_000;

/** The search under way; a newer one cancels it, down to the model. */
let current = new AbortController();

const show = (search: Search) => page.send({ type: "search-changed", search });

/** Searches with a photo's primary face, letting go of the photo before it. */
export async function searchWithFile(file: File): Promise<void> {
  const { signal } = startOver();
  show({ phase: "reading" });
  try {
    const photo = await preparePhoto(file);
    if (signal.aborted) return URL.revokeObjectURL(photo.url);
    await search(photo, undefined, undefined, signal);
  } catch (thrown) {
    if (!signal.aborted) show({ phase: "failed", problem: toProblem(thrown) });
  }
}

/** Searches with another face of the photo that is shown. */
export async function searchWithFace(faceIndex: number): Promise<void> {
  const now = page.get().search;
  if (!("photo" in now) || !now.photo || !now.found) return;
  const settled = now.phase === "done" || (now.phase === "searching" && !now.waiting);
  if (settled && now.chosen === faceIndex) return;
  current.abort();
  current = new AbortController();
  await search(now.photo, faceIndex, now.found, current.signal);
}

/** Runs the search again, now: one that failed or waits, or one whose pictures have run out. */
export async function searchAgain(): Promise<void> {
  const now = page.get().search;
  if (!("photo" in now) || !now.photo) return;
  current.abort();
  current = new AbortController();
  await search(now.photo, now.chosen, now.found, current.signal);
}

/** Looks for others than before, with the same face. */
export async function lookFor(mode: Mode): Promise<void> {
  page.send({ type: "mode-changed", mode });
  await searchAgain();
}

/** Fetches as many matches as the gateway gives; what is shown stays until they are here, and when they cannot be had. */
export async function askForMore(): Promise<void> {
  const before = page.get().search;
  if (before.phase !== "done") return;
  const { photo, chosen } = before;
  try {
    const options = { signal: current.signal, timeoutMs: SEARCH_TIMEOUT_MS };
    const response = await twinService.search(requestFor(photo, chosen, MORE_LIMIT), options);
    const result = response.results[0];
    if (result && page.get().search === before) show({ ...before, result, limit: MORE_LIMIT });
  } catch {
    // The button stays, and may be pressed again.
  }
}

function requestFor(photo: PreparedPhoto, faceIndex: number | undefined, limit: number) {
  const mode = MATCH_MODES[page.get().wish.mode];
  return { image: photo.bytes, mode, limit, ...(faceIndex !== undefined && { faceIndex }) };
}

/** Cancels what is under way and shows the empty page. */
export function startAgain(): void {
  startOver();
  show({ phase: "idle" });
}

/** Shows a problem that was found before there was a photo. */
export function refuse(problem: Problem): void {
  startOver();
  show({ phase: "failed", problem });
}

function startOver(): AbortController {
  current.abort();
  current = new AbortController();
  const before = page.get().search;
  if ("photo" in before && before.photo) URL.revokeObjectURL(before.photo.url);
  return current;
}

async function search(
  photo: PreparedPhoto,
  faceIndex: number | undefined,
  known: FoundFaces | undefined,
  signal: AbortSignal,
): Promise<void> {
  const under = { photo, chosen: faceIndex, ...(known && { found: known }) };
  show({ phase: "searching", ...under });
  const request = requestFor(photo, faceIndex, FIRST_LIMIT);
  try {
    const response = await untilReady(
      () => twinService.search(request, { signal, timeoutMs: SEARCH_TIMEOUT_MS }),
      (waiting) => !signal.aborted && show({ phase: "searching", ...under, waiting }),
      signal,
    );
    if (signal.aborted) return;
    const result = response.results[0];
    if (!result) throw new Error("the answer holds no result");
    const found = { faces: response.faces, width: response.imageWidth, height: response.imageHeight };
    show({ phase: "done", photo, chosen: result.faceIndex, found, result, limit: FIRST_LIMIT });
    // The first count may have met a service that was starting, and others keep photos too.
    void countGallery();
  } catch (thrown) {
    if (signal.aborted || isCancelled(thrown)) return;
    const { chosen, ...rest } = under;
    show({ phase: "failed", problem: toProblem(thrown), ...rest, ...(chosen !== undefined && { chosen }) });
  }
}
