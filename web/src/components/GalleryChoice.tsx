import { chooseGallery } from "../state/choosingGallery";
import { choices, isSameGallery } from "../state/galleryChoice";
import type { State } from "../state/state";
import { strings } from "../strings";

/** How many faces there are to be found, and the other galleries, where there are any. */
export function GalleryChoice({
  gallery,
  galleryName,
  galleries,
}: Pick<State, "gallery" | "galleryName" | "galleries">) {
  const options = choices(galleries, galleryName, gallery);
  if (options.length === 0) {
    return gallery && <p class="gallery-count">{strings.galleryCount(gallery.faceCount, galleryName)}</p>;
  }
  const isKnown = options.some(({ name }) => isSameGallery(name, galleryName));
  return (
    <select
      class="gallery-choice"
      aria-label={strings.galleryChoice}
      onChange={({ currentTarget }) => chooseGallery(currentTarget.value)}
    >
      {!isKnown && (
        <option value={galleryName} selected disabled>
          {strings.galleryChoice}
        </option>
      )}
      {options.map(({ name, faceCount }) => (
        <option key={name} value={name} selected={isSameGallery(name, galleryName)}>
          {strings.galleryCount(faceCount, name)}
        </option>
      ))}
    </select>
  );
}
