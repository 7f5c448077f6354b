import { useState } from "preact/hooks";
import { searchWithEveryone } from "../state/searching";
import { strings } from "../strings";

/** Searches with every face of the photo at once. */
export function EveryoneButton() {
  const [asking, setAsking] = useState(false);
  const ask = async () => {
    if (asking) return;
    setAsking(true);
    await searchWithEveryone();
    setAsking(false);
    document.getElementById("everyone-title")?.focus();
  };
  return (
    <div class="actions">
      <button type="button" class="button" aria-disabled={asking} onClick={() => void ask()}>
        {asking ? strings.everyone.asking : strings.everyone.ask}
      </button>
    </div>
  );
}
