import type { Search } from "../state/state";
import { strings } from "../strings";
import { DropZone } from "./DropZone";
import { FaceCrop } from "./FaceCrop";

/** The left frame: where the photo goes, then the photo, then the chosen face alone. */
export function QueryFrame({ search }: { search: Search }) {
  if (!("photo" in search) || !search.photo) return <DropZone />;
  const { photo, found, chosen } = search;
  // What the service could not read, the browser most likely cannot show.
  const refused = search.phase === "failed" && ["unreadable", "too-large"].includes(search.problem.kind);
  if (refused) return <DropZone />;
  const face = found?.faces.find((one) => one.index === chosen);
  const scanned = search.phase === "searching" && !found;
  return (
    <figure class={`frame frame-photo ${scanned ? "frame-scanned" : ""}`}>
      <FaceCrop
        key={photo.url}
        photo={photo}
        face={face}
        label={face ? strings.face.searched(photo.borrowed) : strings.search.photo(photo.borrowed)}
        moves
      />
    </figure>
  );
}
