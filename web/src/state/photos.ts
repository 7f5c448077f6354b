import type { PreparedPhoto } from "../photo/prepare";
import { page } from "./page";
import type { State } from "./state";

/** Lets go of each photo once nothing shows it any more: the browser holds what a blob: address names until it is told. */
export function letGoOfPhotos(): void {
  let held = new Set<PreparedPhoto>();
  page.subscribe(() => {
    const now = photosIn(page.get());
    for (const photo of held) if (!now.has(photo)) URL.revokeObjectURL(photo.url);
    held = now;
  });
}

function photosIn({ search, home, comparison }: State): Set<PreparedPhoto> {
  const photos = [search, home, ...comparison.photos].map((one) => (one && "photo" in one ? one.photo : undefined));
  return new Set(photos.filter((photo) => photo !== undefined));
}
