import { page } from "../state/page";
import type { Search } from "../state/state";
import { useStore } from "../state/store";
import { strings } from "../strings";
import { Announcer } from "./Announcer";
import { Header } from "./Header";
import { KeepSection } from "./KeepSection";
import { ManagePanel } from "./ManagePanel";
import { PhotoViewer } from "./PhotoViewer";
import { QueryPhoto } from "./QueryPhoto";
import { Stage } from "./Stage";
import { TwinGrid } from "./TwinGrid";
import { useIncomingPhotos } from "./useIncomingPhotos";
import { useKeepFocus } from "./useKeepFocus";
import { useLeaveWarning } from "./useLeaveWarning";
import { usePlace } from "./usePlace";
import { YourselfGrid } from "./YourselfGrid";

/** The whole page: the search, or the place to remove a photo. */
export function App() {
  const state = useStore(page);
  const place = usePlace();
  const { search } = state;
  const dragging = useIncomingPhotos(place === "search");
  useKeepFocus(state.keep);
  // The token is shown once; until its owner says that it is saved, it is nowhere else.
  useLeaveWarning(state.keep.phase === "saving" || state.keep.phase === "kept");
  const shownPhoto = withFaces(search);
  const keep = <KeepSection keep={state.keep} canKeep={search.phase === "done"} />;
  return (
    <>
      <a class="skip" href="#main" onClick={skipToMain}>
        {strings.skipToMain}
      </a>
      <Header gallery={state.gallery} place={place} />
      <main id="main" tabIndex={-1}>
        {place === "manage" ? (
          <ManagePanel removal={state.removal} />
        ) : (
          <>
            <Stage search={search} gallery={state.gallery} picturesMissing={state.picturesMissing} />
            {shownPhoto && <QueryPhoto {...shownPhoto}>{keep}</QueryPhoto>}
            {search.phase === "done" && <TwinGrid twins={search.result.twins.slice(1)} />}
            {search.phase === "done" && <YourselfGrid photos={search.result.yourself} />}
            {!shownPhoto && keep}
          </>
        )}
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

/** The photo and its faces, once they are known. */
function withFaces(search: Search) {
  if (!("found" in search) || !search.found || !search.photo) return undefined;
  return { photo: search.photo, found: search.found, chosen: search.chosen };
}

/** The hash names the place on this page, so the skip link moves the focus itself. */
function skipToMain(event: Event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}
