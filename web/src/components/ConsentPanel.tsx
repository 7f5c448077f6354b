import { useEffect, useState } from "preact/hooks";
import { closeKeepPanel, keepPhoto, openKeepPanel } from "../state/keeping";
import type { Keep, KeepFor } from "../state/state";
import { strings } from "../strings";
import { ConsentWords } from "./ConsentWords";
import { Problem } from "./Problem";

const PERIODS: readonly KeepFor[] = ["forever", 30, 365];

/** What a visitor agrees to, and for how long, before the photo is kept. */
export function ConsentPanel({ keep }: { keep: Extract<Keep, { phase: "open" | "saving" }> }) {
  const [agreed, setAgreed] = useState(false);
  const [keepFor, setKeepFor] = useState<KeepFor>("forever");
  const { consent } = keep;
  // Another text, as in another language, has not been agreed to.
  useEffect(() => setAgreed(false), [consent?.version]);
  const saving = keep.phase === "saving";
  const submit = (event: Event) => {
    event.preventDefault();
    if (consent && agreed && !saving) void keepPhoto(consent, keepFor);
  };
  return (
    <form class="consent" onSubmit={submit}>
      <h2 id="keep-title" class="section-title" tabIndex={-1}>
        {strings.keep.title}
      </h2>
      {!consent && !(keep.phase === "open" && keep.problem) && <p role="status">{strings.keep.loading}</p>}
      {consent && (
        <>
          <div class="consent-text" role="region" aria-label={strings.keep.terms} tabIndex={0}>
            <ConsentWords text={consent.text} language={consent.language} />
            <p class="aside">{strings.keep.policy(consent.version)}</p>
          </div>
          <fieldset class="periods" disabled={saving}>
            <legend>{strings.keep.howLong}</legend>
            {PERIODS.map((period) => (
              <label key={period} class="period">
                <input type="radio" name="keep-for" checked={keepFor === period} onChange={() => setKeepFor(period)} />
                {strings.keep.period(period)}
              </label>
            ))}
          </fieldset>
          <label class="agree">
            <input
              type="checkbox"
              checked={agreed}
              disabled={saving}
              onChange={(event) => setAgreed(event.currentTarget.checked)}
            />
            {strings.keep.agree}
          </label>
        </>
      )}
      {keep.phase === "open" && keep.problem && <Problem problem={keep.problem} reveal />}
      <div class="actions">
        {consent && (
          <button type="submit" class="button button-main" aria-disabled={!agreed || saving}>
            {saving ? strings.keep.saving : strings.keep.confirm}
          </button>
        )}
        {!consent && keep.phase === "open" && keep.problem && (
          <button type="button" class="button" onClick={() => void openKeepPanel()}>
            {strings.keep.again}
          </button>
        )}
        <button type="button" class="button button-quiet" disabled={saving} onClick={closeKeepPanel}>
          {strings.keep.cancel}
        </button>
      </div>
    </form>
  );
}
