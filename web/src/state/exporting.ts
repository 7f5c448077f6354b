import { twinService } from "../api/client";
import { toRemovalProblem } from "../api/problem";
import { ExportedOriginal } from "@gen/twin/gateway/v1/gateway_pb";
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
    let original = ExportedOriginal.UNSPECIFIED;
    const stream = twinService.exportPhoto({ photoId, deletionToken }, { timeoutMs: EXPORT_TIMEOUT_MS });
    for await (const piece of stream) {
      pieces.push(new Uint8Array(piece.data));
      original = piece.original;
    }
    saveFile(`find-your-twin-${photoId}.zip`, new Blob(pieces, { type: "application/zip" }));
    show({ phase: "exported", original });
  } catch (thrown) {
    show({ phase: "failed", problem: toRemovalProblem(thrown) });
  }
}
