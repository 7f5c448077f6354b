import type { Twin } from "@gen/twin/gateway/v1/gateway_pb";
import type { Language } from "../strings/choice";
import type { Comparison } from "./compare";
import { isSameGallery } from "./galleryChoice";
import type { Mode } from "./wish";
import type { Done, Gallery, Keep, ListedGallery, Removal, Search, State, Waiting } from "./state";

/** What happened, in the page's own words. */
export type Event =
  | { type: "gallery-counted"; gallery: Gallery }
  | { type: "galleries-listed"; galleries: readonly ListedGallery[] }
  | { type: "gallery-chosen"; galleryName: string }
  | { type: "language-changed"; language: Language }
  | { type: "service-changed"; trouble: Waiting }
  | { type: "mode-changed"; mode: Mode }
  | { type: "minimum-changed"; minPercent: number }
  | { type: "search-changed"; search: Search }
  | { type: "keep-changed"; keep: Keep }
  | { type: "comparison-changed"; comparison: Comparison }
  | { type: "removal-changed"; removal: Removal }
  | { type: "picture-missing" }
  | { type: "viewing-changed"; viewing: Twin | undefined };

/** The state after an event. A new photo or another face closes the question whether to keep the last one. */
export function reduce(state: State, event: Event): State {
  switch (event.type) {
    case "gallery-counted":
      return { ...state, gallery: event.gallery, trouble: undefined };
    case "galleries-listed":
      return { ...state, galleries: event.galleries };
    case "gallery-chosen": {
      const { galleryName } = event;
      const gallery = state.galleries.find(({ name }) => isSameGallery(name, galleryName));
      return { ...state, galleryName, gallery, trouble: undefined };
    }
    case "language-changed":
      return { ...state, language: event.language };
    case "service-changed":
      return { ...state, trouble: event.trouble };
    case "mode-changed":
      return { ...state, wish: { ...state.wish, mode: event.mode } };
    case "minimum-changed":
      return { ...state, wish: { ...state.wish, minPercent: event.minPercent } };
    case "search-changed":
      return {
        ...state,
        search: event.search,
        home: homeAfterSearch(state, event.search),
        keep: keepAfterSearch(state, event.search),
        // Both are about the result before.
        viewing: undefined,
        picturesMissing: false,
      };
    case "keep-changed":
      return { ...state, keep: event.keep };
    case "comparison-changed":
      return { ...state, comparison: event.comparison };
    case "removal-changed":
      return { ...state, removal: event.removal };
    case "picture-missing":
      return state.picturesMissing ? state : { ...state, picturesMissing: true };
    case "viewing-changed":
      return { ...state, viewing: event.viewing };
  }
}

/** The way back from photos out of the gallery; a photo of one's own makes another one. */
function homeAfterSearch({ search, home }: State, next: Search): Done | undefined {
  const borrowed = next.phase === "reading" ? next.borrowed : "photo" in next && next.photo?.borrowed;
  const stays = borrowed || (next.phase === "failed" && !next.photo);
  if (!stays) return undefined;
  return search.phase === "done" && !search.photo.borrowed ? search : home;
}

/** What was agreed to or received stays until its owner puts it away: a receipt's token is shown only once. */
function keepAfterSearch(state: State, search: Search): Keep {
  if (state.keep.phase !== "open") return state.keep;
  const before = "photo" in state.search ? state.search : undefined;
  const after = "photo" in search ? search : undefined;
  const sameFace = before?.photo === after?.photo && before?.chosen === after?.chosen;
  return sameFace ? state.keep : { phase: "closed" };
}
