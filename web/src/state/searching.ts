import { twinService } from "../api/client";
import { isCancelled, PictureGone, toProblem, type Problem } from "../api/problem";
import { untilReady } from "../api/retry";
import { inSize } from "../photo/address";
import { preparePhoto, type PreparedPhoto } from "../photo/prepare";
import { faceAt, scaled } from "../photo/sameFace";
import type { Twin } from "@gen/twin/gateway/v1/gateway_pb";
import { countGallery } from "./gallery";
import { page } from "./page";
import type { FoundFaces, Search } from "./state";
import { FIRST_LIMIT, MATCH_MODES, MORE_LIMIT, type Mode } from "./wish";

const SEARCH_TIMEOUT_MS = 30_000;

/** The search under way; a newer one cancels it, down to the model. */
let current = new AbortController();

const show = (search: Search) => page.send({ type: "search-changed", search });

/** Searches with a photo's primary face. */
export async function searchWithFile(file: File): Promise<void> {
  const { signal } = startOver();
  show({ phase: "reading", borrowed: false });
  try {
    const photo = await preparePhoto(file);
    if (signal.aborted) return URL.revokeObjectURL(photo.url);
    await search(photo, undefined, undefined, signal);
  } catch (thrown) {
    if (!signal.aborted) show({ phase: "failed", problem: toProblem(thrown) });
  }
}

/** Searches with the face of a match, out of its whole photo. */
export async function searchWithMatch(twin: Twin): Promise<void> {
  const { signal } = startOver();
  show({ phase: "reading", borrowed: true });
  try {
    const photo = await preparePhoto(await fetchPhoto(twin, signal), true);
    if (signal.aborted) return URL.revokeObjectURL(photo.url);
    show({ phase: "searching", photo, chosen: undefined });
    const { faces } = await twinService.detectFaces({ image: photo.bytes }, { signal, timeoutMs: SEARCH_TIMEOUT_MS });
    if (signal.aborted) return;
    const box = twin.match?.box;
    await search(photo, box && faceAt(faces, scaled(box, photo.scale)), undefined, signal);
  } catch (thrown) {
    if (!signal.aborted) show({ phase: "failed", problem: toProblem(thrown) });
  }
}

/** Goes back to the visitor's own photo, from one out of the gallery. */
export function goHome(): void {
  const { home } = page.get();
  if (!home) return;
  startOver();
  show(home);
}

async function fetchPhoto({ imageUrl, match }: Twin, signal: AbortSignal): Promise<File> {
  const response = await fetch(inSize(imageUrl, "original"), { signal });
  if (!response.ok) throw new PictureGone();
  return new File([await response.blob()], match?.person ?? "");
}

/** Searches with another face of the photo that is shown. */
export async function searchWithFace(faceIndex: number): Promise<void> {
  const now = page.get().search;
  if (!("photo" in now) || !now.photo || !now.found) return;
  const settled = now.phase === "done" || (now.phase === "searching" && !now.waiting);
  if (settled && now.chosen === faceIndex) return;
  const known = now.phase === "done" ? now.everyone?.find((result) => result.faceIndex === faceIndex) : undefined;
  if (now.phase === "done" && known) {
    return show({ ...now, chosen: faceIndex, result: known, limit: FIRST_LIMIT });
  }
  const { signal } = startOver();
  await search(now.photo, faceIndex, now.found, signal);
}

/** Runs the search again, now: one that failed or waits, or one whose pictures have run out. */
export async function searchAgain(): Promise<void> {
  const now = page.get().search;
  if (!("photo" in now) || !now.photo) return;
  const { signal } = startOver();
  await search(now.photo, now.chosen, now.found, signal);
}

/** Searches in the gallery that was chosen, with the visitor's own photo where one out of the gallery before is shown. */
export async function searchInGallery(): Promise<void> {
  const { home } = page.get();
  if (!home) return searchAgain();
  const { signal } = startOver();
  await search(home.photo, home.chosen, home.found, signal);
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
  const { galleryName, wish } = page.get();
  const mode = MATCH_MODES[wish.mode];
  return { gallery: galleryName, image: photo.bytes, mode, limit, ...(faceIndex !== undefined && { faceIndex }) };
}

/** Searches with every face of the photo at once; what is shown stays, also when it fails. */
export async function searchWithEveryone(): Promise<void> {
  const before = page.get().search;
  if (before.phase !== "done") return;
  try {
    const request = { ...requestFor(before.photo, undefined, FIRST_LIMIT), allFaces: true };
    const response = await twinService.search(request, { signal: current.signal, timeoutMs: SEARCH_TIMEOUT_MS });
    if (page.get().search === before) show({ ...before, everyone: response.results });
  } catch {
    // The button stays, and may be pressed again.
  }
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
      (problem, retryAt) => !signal.aborted && show({ phase: "searching", ...under, waiting: { problem, retryAt } }),
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
