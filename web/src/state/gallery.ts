import { twinService } from "../api/client";
import { page } from "./page";

/** Counts the gallery; one that cannot be counted now leaves the last count, since nothing else depends on it. */
export async function countGallery(): Promise<void> {
  try {
    const stats = await twinService.getStats({});
    const gallery = { faceCount: Number(stats.faceCount), photoCount: Number(stats.photoCount) };
    page.send({ type: "gallery-counted", gallery });
  } catch {
    // The search says what is wrong with the service, where a visitor can act on it.
  }
}
