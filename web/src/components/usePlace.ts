import { useEffect, useState } from "preact/hooks";
import { strings } from "../strings";
import type { Language } from "../strings/choice";

export type Place = "search" | "compare" | "manage";

const PLACES: readonly Place[] = ["search", "compare", "manage"];

const placeOf = (hash: string): Place => PLACES.find((place) => hash === `#${place}`) ?? "search";

/** Which of the page's places the address names. */
export function usePlace(language: Language | undefined): Place {
  const [place, setPlace] = useState(placeOf(location.hash));
  useEffect(() => {
    const follow = () => {
      setPlace(placeOf(location.hash));
      // Readers go on with the new place, as they would on a new page.
      document.getElementById("main")?.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    };
    window.addEventListener("hashchange", follow);
    return () => window.removeEventListener("hashchange", follow);
  }, []);
  useEffect(() => {
    // The title is what a history entry and a screen reader call the place.
    const title = place === "search" ? undefined : strings[place].title;
    document.title = title ? `${title} · ${strings.name}` : strings.name;
  }, [place, language]);
  return place;
}
