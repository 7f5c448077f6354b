import { useRef, useState } from "preact/hooks";
import { closeKeepPanel } from "../state/keeping";
import type { Receipt } from "../state/state";
import { strings } from "../strings";
import { saveFile } from "../state/saveFile";

/** The receipt for a kept photo: its id, and the token that removes it, shown this once. */
export function ReceiptPanel({ receipt }: { receipt: Receipt }) {
  const words = strings.receipt;
  return (
    <div class="receipt">
      <h2 id="keep-title" class="section-title" tabIndex={-1}>
        {words.title}
      </h2>
      <p>{words.lead}</p>
      <p class="photo-name">
        <span class="field-name">{words.photo}</span>
        {receipt.photoName}
      </p>
      <CopyField name={words.id} value={receipt.photoId} />
      <CopyField name={words.token} value={receipt.deletionToken} />
      <div class="actions">
        <button type="button" class="button button-main" onClick={() => download(receipt)}>
          {words.download}
        </button>
        <button type="button" class="button button-quiet" onClick={closeKeepPanel}>
          {words.done}
        </button>
      </div>
    </div>
  );
}

function CopyField({ name, value }: { name: string; value: string }) {
  const words = strings.receipt;
  const [outcome, setOutcome] = useState<"copied" | "failed">();
  const field = useRef<HTMLTextAreaElement>(null);
  const copy = async () => {
    field.current?.select();
    try {
      await navigator.clipboard.writeText(value);
      setOutcome("copied");
    } catch {
      // Over plain HTTP there is no clipboard; the text stays selected, ready to be copied by hand.
      setOutcome("failed");
    }
  };
  return (
    <div class="copy-field">
      <label>
        <span class="field-name">{name}</span>
        <textarea
          ref={field}
          class="field mono"
          readOnly
          rows={2}
          value={value}
          onFocus={(event) => event.currentTarget.select()}
        />
      </label>
      <button type="button" class="button" aria-label={words.copy(name)} onClick={() => void copy()}>
        {outcome === "copied" ? words.copied : words.copyShort}
      </button>
      <p class="copy-outcome aside" role="status">
        {outcome === "failed" && words.copyFailed}
        {outcome === "copied" && <span class="visually-hidden">{words.copied}</span>}
      </p>
    </div>
  );
}

function download({ photoName, photoId, deletionToken }: Receipt) {
  const address = `${location.origin}/#manage`;
  const text = strings.receipt.file(photoName, photoId, deletionToken, address);
  saveFile(strings.receipt.fileName, new Blob([text], { type: "text/plain" }));
}
