import { useState } from "preact/hooks";

interface Props {
  class: string;
  words: string;
  /** What it says until the work is done. */
  busyWords: string;
  work: () => Promise<void>;
}

/** A button for what takes a while; it keeps the focus meanwhile, and is not to be pressed twice. */
export function BusyButton({ class: className, words, busyWords, work }: Props) {
  const [busy, setBusy] = useState(false);
  const press = async () => {
    if (busy) return;
    setBusy(true);
    await work();
    setBusy(false);
  };
  return (
    <button type="button" class={className} aria-disabled={busy} onClick={() => void press()}>
      {busy ? busyWords : words}
    </button>
  );
}
