import { twinService } from "../api/client";
import { toProblem } from "../api/problem";
import { untilReady } from "../api/retry";
import { page } from "./page";

/** Waits for the service from the page's first moment, says what it waits for, and counts the gallery. */
export async function awaitService(): Promise<void> {
  try {
    await untilReady(
      count,
      (problem, retryAt) => page.send({ type: "service-changed", trouble: { problem, retryAt } }),
      new AbortController().signal,
    );
  } catch (thrown) {
    page.send({ type: "service-changed", trouble: { problem: toProblem(thrown) } });
  }
}

/** Counts the gallery; one that cannot be counted now leaves the last count, since nothing else depends on it. */
export async function countGallery(): Promise<void> {
  try {
    await count();
  } catch {
    // The search says what is wrong with the service, where a visitor can act on it.
  }
}

async function count(): Promise<void> {
  const { galleryName } = page.get();
  const [stats] = await Promise.all([twinService.getStats({ gallery: galleryName }), listGalleries()]);
  if (page.get().galleryName !== galleryName) return;
  page.send({ type: "gallery-counted", gallery: { faceCount: Number(stats.faceCount) } });
}

async function listGalleries(): Promise<void> {
  try {
    const { galleries } = await twinService.listGalleries({});
    const listed = galleries.map(({ name, faceCount }) => ({ name, faceCount: Number(faceCount) }));
    page.send({ type: "galleries-listed", galleries: listed });
  } catch {
    // The gallery that the address names can be searched all the same.
  }
}
