import { twinService } from "../api/client";
import { toRemovalProblem } from "../api/problem";
import { countGallery } from "./gallery";
import { closeKeepPanel } from "./keeping";
import { page } from "./page";
import type { Removal } from "./state";

const REMOVE_TIMEOUT_MS = 30_000;

const show = (removal: Removal) => page.send({ type: "removal-changed", removal });

/** Deletes a kept photo for whoever holds its token. Deleting again with the same token is harmless. */
export async function removePhoto(photoId: string, deletionToken: string): Promise<void> {
  show({ phase: "removing" });
  try {
    const response = await twinService.deletePhoto({ photoId, deletionToken }, { timeoutMs: REMOVE_TIMEOUT_MS });
    show({ phase: "removed", faceCount: response.faceCount, originalRemoved: response.originalRemoved });
    const { keep } = page.get();
    if (keep.phase === "kept" && keep.receipt.photoId === photoId) closeKeepPanel();
    void countGallery();
  } catch (thrown) {
    show({ phase: "failed", problem: toRemovalProblem(thrown) });
  }
}

/** Puts the outcome away; one that is still to come is not forgotten. */
export function forgetRemoval(): void {
  if (["removing", "exporting"].includes(page.get().removal.phase)) return;
  show({ phase: "idle" });
}
