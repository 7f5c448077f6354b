import { twinService } from "../api/client";
import { isCancelled, toProblem, type Problem } from "../api/problem";
import { untilReady } from "../api/retry";
import { preparePhoto } from "../photo/prepare";
import { emptyComparison, freeSide, withPhoto, type ComparedPhoto, type Outcome, type Side } from "./compare";
import { page } from "./page";

const TIMEOUT_MS = 30_000;

/** What is under way on each side, and between the two; a newer photo cancels both. */
const sides: [AbortController, AbortController] = [new AbortController(), new AbortController()];
let between = new AbortController();

function show(side: Side, photo: ComparedPhoto): void {
  page.send({ type: "comparison-changed", comparison: withPhoto(page.get().comparison, side, photo) });
}

function say(outcome: Outcome): void {
  page.send({ type: "comparison-changed", comparison: { ...page.get().comparison, outcome } });
}

/** Puts a photo on one side, finds its faces, and compares once both sides are there. */
export async function compareFile(file: File, side: Side = freeSide(page.get().comparison)): Promise<void> {
  const { signal } = startOver(side);
  show(side, { phase: "reading" });
  try {
    const photo = await preparePhoto(file);
    if (signal.aborted) return URL.revokeObjectURL(photo.url);
    show(side, { phase: "reading", photo });
    const request = { image: photo.bytes };
    const response = await untilReady(
      () => twinService.detectFaces(request, { signal, timeoutMs: TIMEOUT_MS }),
      (problem, retryAt) => !signal.aborted && say({ phase: "comparing", waiting: { problem, retryAt } }),
      signal,
    );
    const { faces, imageWidth: width, imageHeight: height } = response;
    const chosen = (faces.find((face) => face.primary) ?? faces[0])?.index;
    if (signal.aborted) return;
    if (chosen === undefined) return show(side, { phase: "failed", problem: { kind: "no-face" } });
    show(side, { phase: "ready", photo, found: { faces, width, height }, chosen });
    await compare();
  } catch (thrown) {
    if (!signal.aborted && !isCancelled(thrown)) show(side, { phase: "failed", problem: toProblem(thrown) });
  }
}

/** Compares with another face of one photo. */
export async function compareFace(side: Side, chosen: number): Promise<void> {
  const photo = page.get().comparison.photos[side];
  if (photo.phase !== "ready" || photo.chosen === chosen) return;
  show(side, { ...photo, chosen });
  await compare();
}

/** Compares the chosen faces, once there are two. */
export async function compare(): Promise<void> {
  const [first, second] = page.get().comparison.photos;
  if (first.phase !== "ready" || second.phase !== "ready") return;
  between.abort();
  between = new AbortController();
  const { signal } = between;
  say({ phase: "comparing" });
  const request = {
    firstImage: first.photo.bytes,
    firstFaceIndex: first.chosen,
    secondImage: second.photo.bytes,
    secondFaceIndex: second.chosen,
  };
  try {
    const { similarity, samePerson } = await untilReady(
      () => twinService.compare(request, { signal, timeoutMs: TIMEOUT_MS }),
      (problem, retryAt) => !signal.aborted && say({ phase: "comparing", waiting: { problem, retryAt } }),
      signal,
    );
    if (!signal.aborted) say({ phase: "done", percent: similarity?.percent ?? 0, samePerson });
  } catch (thrown) {
    if (!signal.aborted && !isCancelled(thrown)) say({ phase: "failed", problem: toProblem(thrown) });
  }
}

/** Cancels what is under way and empties both sides. */
export function compareAfresh(): void {
  startOver(0);
  startOver(1);
  page.send({ type: "comparison-changed", comparison: emptyComparison });
}

/** Says what is wrong with what was dropped. */
export function refuseToCompare(problem: Problem): void {
  const side = freeSide(page.get().comparison);
  startOver(side);
  show(side, { phase: "failed", problem });
}

function startOver(side: Side): AbortController {
  between.abort();
  sides[side].abort();
  return (sides[side] = new AbortController());
}
