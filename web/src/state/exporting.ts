import { twinService } from "../api/client";
import { toRemovalProblem } from "../api/problem";
import { saveFile } from "./saveFile";
import { page } from "./page";
import type { Removal } from "./state";

const EXPORT_TIMEOUT_MS = 120_000;

const show = (removal: Removal) => page.send({ type: "removal-changed", removal });

/** Hands all that is held about a kept photo, as one ZIP archive, to whoever holds its token. */
export async function exportPhoto(photoId: string, deletionToken: string): Promise<void> {
  show({ phase: "exporting" });
  try {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    const stream = twinService.exportPhoto({ photoId, deletionToken }, { timeoutMs: EXPORT_TIMEOUT_MS });
    for await (const { data } of stream) pieces.push(new Uint8Array(data));
    saveFile(`find-your-twin-${photoId}.zip`, new Blob(pieces, { type: "application/zip" }));
    show({ phase: "exported" });
  } catch (thrown) {
    show({ phase: "failed", problem: toRemovalProblem(thrown) });
  }
}
