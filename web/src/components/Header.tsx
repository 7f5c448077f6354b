import type { State } from "../state/state";
import { strings } from "../strings";
import { FaceGlyph } from "./FaceGlyph";
import { GalleryChoice } from "./GalleryChoice";
import type { Place } from "./usePlace";

/** The name, the gallery's size, and the ways to the other places. */
export function Header({ state, place }: { state: State; place: Place }) {
  return (
    <header class="header">
      <a class="brand" href="#" aria-label={strings.home}>
        <span class="brand-mark" aria-hidden="true">
          <FaceGlyph mood="smile" />
          <FaceGlyph mood="smile" />
        </span>
        {strings.name}
      </a>
      <GalleryChoice {...state} />
      <nav class="header-links" aria-label={strings.places}>
        <a class="header-link" href="#compare" aria-current={place === "compare" ? "page" : undefined}>
          {strings.compareLink}
        </a>
        <a class="header-link" href="#manage" aria-current={place === "manage" ? "page" : undefined}>
          {strings.manageLink}
        </a>
      </nav>
    </header>
  );
}
