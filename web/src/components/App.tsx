import { page } from "../state/page";
import { useStore } from "../state/store";
import { strings } from "../strings";
import { Announcer } from "./Announcer";
import { Header } from "./Header";
import { ManagePanel } from "./ManagePanel";
import { PhotoViewer } from "./PhotoViewer";
import { SearchPlace } from "./SearchPlace";
import { useIncomingPhotos } from "./useIncomingPhotos";
import { useKeepFocus } from "./useKeepFocus";
import { useLeaveWarning } from "./useLeaveWarning";
import { usePlace } from "./usePlace";

/** The whole page: the search, or the place to remove a photo. */
export function App() {
  const state = useStore(page);
  const place = usePlace();
  const dragging = useIncomingPhotos(place === "search");
  useKeepFocus(state.keep);
  // The token is shown once; until its owner says that it is saved, it is nowhere else.
  useLeaveWarning(state.keep.phase === "saving" || state.keep.phase === "kept");
  return (
    <>
      <a class="skip" href="#main" onClick={skipToMain}>
        {strings.skipToMain}
      </a>
      <Header gallery={state.gallery} place={place} />
      <main id="main" tabIndex={-1}>
        {place === "manage" ? <ManagePanel removal={state.removal} /> : <SearchPlace state={state} />}
      </main>
      <footer class="footer">{strings.footer}</footer>
      <PhotoViewer twin={state.viewing} />
      <Announcer state={state} />
      {dragging && (
        <div class="drop-veil" aria-hidden="true">
          {strings.start.dropHere}
        </div>
      )}
    </>
  );
}

/** The hash names the place on this page, so the skip link moves the focus itself. */
function skipToMain(event: Event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}
