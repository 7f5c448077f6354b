import type { Search } from "../state/state";
import { strings } from "../strings";
import { DropZone } from "./DropZone";
import { FaceCrop } from "./FaceCrop";

/** The left frame: where the photo goes, then the photo, then the chosen face alone. */
export function QueryFrame({ search }: { search: Search }) {
  if (!("photo" in search) || !search.photo) return <DropZone />;
  const { photo, found, chosen } = withFaces(search);
  const face = found?.faces.find((one) => one.index === chosen);
  if (found && face) {
    return (
      <figure class="frame">
        <FaceCrop photo={photo} face={face} label={strings.face.yours} moves />
      </figure>
    );
  }
  return (
    <figure class={`frame frame-photo ${search.phase === "searching" ? "frame-scanned" : ""}`}>
      <img src={photo.url} alt={strings.search.yourPhoto} />
    </figure>
  );
}

function withFaces(search: Extract<Search, { photo?: unknown }>) {
  const found = search.found;
  return { photo: search.photo!, found, chosen: search.chosen };
}
