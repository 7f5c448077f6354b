import { closeKeepPanel, openKeepPanel } from "../state/keeping";
import type { Keep } from "../state/state";
import { strings } from "../strings";
import { ConsentPanel } from "./ConsentPanel";
import { Problem } from "./Problem";
import { ReceiptPanel } from "./Receipt";

/** The offer to keep the photo, what it takes, and what comes of it. */
export function KeepSection({ keep, canKeep }: { keep: Keep; canKeep: boolean }) {
  if (keep.phase === "closed" && !canKeep) return null;
  return (
    <section class="keep" aria-labelledby="keep-title">
      <KeepContent keep={keep} />
    </section>
  );
}

function KeepContent({ keep }: { keep: Keep }) {
  switch (keep.phase) {
    case "closed":
      return (
        <div class="keep-offer">
          <div class="section-words">
            <h2 id="keep-title" class="section-title">
              {strings.keep.title}
            </h2>
            <p>{strings.keep.lead}</p>
          </div>
          <button type="button" class="button" onClick={() => void openKeepPanel()}>
            {strings.keep.open}
          </button>
        </div>
      );
    case "open":
    case "saving":
      return <ConsentPanel keep={keep} />;
    case "kept":
      return <ReceiptPanel receipt={keep.receipt} />;
    case "not-kept":
      return (
        <div class="receipt">
          <h2 id="keep-title" class="section-title" tabIndex={-1}>
            {strings.keep.notKept}
          </h2>
          <p>{strings.keep.notKeptPhoto(keep.photoName)}</p>
          <Problem problem={keep.problem} />
          <div class="actions">
            <button type="button" class="button button-quiet" onClick={closeKeepPanel}>
              {strings.keep.close}
            </button>
          </div>
        </div>
      );
  }
}
