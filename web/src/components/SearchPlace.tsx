import type { Search, State } from "../state/state";
import { EveryoneGrid } from "./EveryoneGrid";
import { KeepSection } from "./KeepSection";
import { QueryPhoto } from "./QueryPhoto";
import { Stage } from "./Stage";
import { TwinGrid } from "./TwinGrid";
import { YourselfGrid } from "./YourselfGrid";

/** The search: two faces, the photo with all of its faces, the other twins. */
export function SearchPlace({ state }: { state: State }) {
  const { search, wish } = state;
  const shownPhoto = withFaces(search);
  const keep = <KeepSection keep={state.keep} canKeep={search.phase === "done" && !search.photo.borrowed} />;
  return (
    <>
      <Stage
        search={search}
        gallery={state.gallery}
        trouble={state.trouble}
        canGoHome={state.home !== undefined}
        mode={wish.mode}
        picturesMissing={state.picturesMissing}
      />
      {shownPhoto && <QueryPhoto {...shownPhoto}>{keep}</QueryPhoto>}
      {search.phase === "done" && (
        <>
          <EveryoneGrid search={search} />
          <TwinGrid search={search} wish={wish} />
          <YourselfGrid photos={search.result.yourself} borrowed={search.photo.borrowed} />
        </>
      )}
      {!shownPhoto && keep}
    </>
  );
}

/** The photo and its faces, once they are known. */
function withFaces(search: Search) {
  if (!("found" in search) || !search.found || !search.photo) return undefined;
  const canAskEveryone = search.phase === "done" && !search.everyone;
  return { photo: search.photo, found: search.found, chosen: search.chosen, canAskEveryone };
}
