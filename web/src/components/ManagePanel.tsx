import { useEffect, useRef, useState } from "preact/hooks";
import { exportPhoto } from "../state/exporting";
import { forgetRemoval, removePhoto } from "../state/removing";
import type { Removal } from "../state/state";
import { strings } from "../strings";
import { Problem } from "./Problem";
import { useLostFocus } from "./useLostFocus";

/** The place to remove a kept photo, or to be given all that is held about it, with what its receipt says. */
export function ManagePanel({ removal }: { removal: Removal }) {
  const panel = useRef<HTMLElement>(null);
  useLostFocus(panel, removal.phase);
  // What an earlier visit to this place ended with is no news.
  useEffect(() => forgetRemoval, []);
  return (
    <section class="manage" ref={panel} tabIndex={-1} aria-labelledby="manage-title">
      {removal.phase === "removed" ? <Removed removal={removal} /> : <RemoveForm removal={removal} />}
      <a class="back" href="#">
        {strings.manage.back}
      </a>
    </section>
  );
}

function RemoveForm({ removal }: { removal: Removal }) {
  const words = strings.manage;
  const [photoId, setPhotoId] = useState("");
  const [token, setToken] = useState("");
  const busy = removal.phase === "removing" || removal.phase === "exporting";
  const filled = photoId.trim() !== "" && token.trim() !== "";
  const submit = (event: Event) => {
    event.preventDefault();
    if (filled && !busy) void removePhoto(photoId.trim(), token.trim());
  };
  const save = () => {
    if (filled && !busy) void exportPhoto(photoId.trim(), token.trim());
  };
  return (
    <form onSubmit={submit}>
      <h1 id="manage-title" class="display">
        {words.title}
      </h1>
      <p class="lead">{words.lead}</p>
      <Field name={words.id} value={photoId} set={setPhotoId} />
      <Field name={words.token} value={token} set={setToken} />
      {removal.phase === "failed" && <Problem problem={removal.problem} reveal />}
      <div class="actions">
        <button type="submit" class="button button-main" aria-disabled={!filled || busy}>
          {removal.phase === "removing" ? words.removing : words.remove}
        </button>
        <button type="button" class="button button-quiet" aria-disabled={!filled || busy} onClick={save}>
          {removal.phase === "exporting" ? words.exporting : words.export}
        </button>
      </div>
      <p role="status">{removal.phase === "exported" && words.exported(removal.original)}</p>
    </form>
  );
}

function Field({ name, value, set }: { name: string; value: string; set: (value: string) => void }) {
  return (
    <label>
      <span class="field-name">{name}</span>
      <input
        class="field mono"
        value={value}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        onInput={(event) => set(event.currentTarget.value)}
      />
    </label>
  );
}

function Removed({ removal }: { removal: Extract<Removal, { phase: "removed" }> }) {
  const words = strings.manage;
  const { faceCount, originalRemoved } = removal;
  return (
    <div role="status">
      <h1 id="manage-title" class="display">
        {originalRemoved ? words.removed : words.pending}
      </h1>
      <p class="lead">{originalRemoved ? words.removedAdvice(faceCount) : words.pendingAdvice(faceCount)}</p>
      <div class="actions">
        <button type="button" class="button" onClick={forgetRemoval}>
          {words.another}
        </button>
      </div>
    </div>
  );
}
