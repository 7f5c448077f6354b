import { searchWithEveryone } from "../state/searching";
import { strings } from "../strings";
import { BusyButton } from "./BusyButton";

/** Searches with every face of the photo at once. */
export function EveryoneButton() {
  return (
    <div class="actions">
      <BusyButton
        class="button"
        words={strings.everyone.ask}
        busyWords={strings.everyone.asking}
        work={async () => {
          await searchWithEveryone();
          document.getElementById("everyone-title")?.focus();
        }}
      />
    </div>
  );
}
