import type { Search } from "../state/state";
import { strings } from "../strings";
import { DropZone } from "./DropZone";
import { FaceCrop } from "./FaceCrop";

/** The left frame: where the photo goes, then the photo, then the chosen face alone. */
export function QueryFrame({ search }: { search: Search }) {
  if (!("photo" in search) || !search.photo) return <DropZone />;
  const { photo, found, chosen } = search;
  const unreadable = search.phase === "failed" && search.problem.kind === "unreadable";
  if (unreadable) return <DropZone />;
  const face = found?.faces.find((one) => one.index === chosen);
  const scanned = search.phase === "searching" && !found;
  return (
    <figure class={`frame frame-photo ${scanned ? "frame-scanned" : ""}`}>
      <FaceCrop
        key={photo.url}
        photo={photo}
        face={face}
        label={face ? strings.face.yours : strings.search.yourPhoto}
        moves
      />
    </figure>
  );
}
