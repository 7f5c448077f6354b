import type { Gallery, ListedGallery } from "./state";

/** What the gateway takes when no gallery is named. */
const DEFAULT_NAME = "default";

/** True when both names are of one gallery. */
export const isSameGallery = (one: string, other: string): boolean => (one || DEFAULT_NAME) === (other || DEFAULT_NAME);

/**
 * What can be picked, the current gallery always among it: whoever knows a gallery's name can be in one that is not listed.
 * The current one has the count that was made of it, which is the newer. Empty where there is nothing to choose between.
 */
export function choices(
  listed: readonly ListedGallery[],
  current: string,
  counted: Gallery | undefined,
): readonly ListedGallery[] {
  const others = listed.filter(({ name }) => !isSameGallery(name, current));
  if (others.length === 0) return [];
  const known = listed.find(({ name }) => isSameGallery(name, current));
  const size = counted ?? known;
  if (!size) return others;
  return [...others, { ...size, name: current || DEFAULT_NAME }].sort((one, other) => (one.name < other.name ? -1 : 1));
}
