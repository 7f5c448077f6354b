import { compareFile, refuseToCompare } from "../state/comparing";
import { page } from "../state/page";
import { refuse, searchWithFile } from "../state/searching";
import { useStore } from "../state/store";
import { strings } from "../strings";
import { Announcer } from "./Announcer";
import { ComparePlace } from "./ComparePlace";
import { Header } from "./Header";
import { LanguageChoice } from "./LanguageChoice";
import { ManagePanel } from "./ManagePanel";
import { PhotoViewer } from "./PhotoViewer";
import { SearchPlace } from "./SearchPlace";
import { type Incoming, useIncomingPhotos } from "./useIncomingPhotos";
import { useKeepFocus } from "./useKeepFocus";
import { useLeaveWarning } from "./useLeaveWarning";
import { type Place, usePlace } from "./usePlace";

const INCOMING: Readonly<Record<Place, Incoming | undefined>> = {
  search: { take: ([file]) => void searchWithFile(file), refuse },
  compare: { take: takeToCompare, refuse: refuseToCompare },
  manage: undefined,
};

/** The whole page: the search, the comparison, or the place to remove a photo. */
export function App() {
  const state = useStore(page);
  const place = usePlace(state.language);
  const dragging = useIncomingPhotos(INCOMING[place]);
  useKeepFocus(state.keep);
  // The token is shown once; until its owner says that it is saved, it is nowhere else.
  useLeaveWarning(state.keep.phase === "saving" || state.keep.phase === "kept");
  return (
    <>
      <a class="skip" href="#main" onClick={skipToMain}>
        {strings.skipToMain}
      </a>
      <Header state={state} place={place} />
      <main id="main" tabIndex={-1}>
        {place === "search" && <SearchPlace state={state} />}
        {place === "compare" && <ComparePlace comparison={state.comparison} />}
        {place === "manage" && <ManagePanel removal={state.removal} />}
      </main>
      <footer class="footer">
        <p>{strings.footer}</p>
        <LanguageChoice />
      </footer>
      <PhotoViewer twin={state.viewing} />
      <Announcer state={state} place={place} />
      {dragging && (
        <div class="drop-veil" aria-hidden="true">
          {place === "compare" ? strings.compare.dropHere : strings.start.dropHere}
        </div>
      )}
    </>
  );
}

/** Two photos at once are both sides; one goes where it was dropped. */
function takeToCompare([first, second]: [File, ...File[]], half: "start" | "end" | undefined) {
  if (second) {
    void compareFile(first, 0);
    void compareFile(second, 1);
  } else {
    void compareFile(first, half && (half === "start" ? 0 : 1));
  }
}

/** The hash names the place on this page, so the skip link moves the focus itself. */
function skipToMain(event: Event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}
