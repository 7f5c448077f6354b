import { goHome } from "../state/searching";
import { strings } from "../strings";

/** The way back to the visitor's own photo. */
export function HomeButton() {
  return (
    <button type="button" class="button button-main" onClick={goHome}>
      {strings.search.home}
    </button>
  );
}
