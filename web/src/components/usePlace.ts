import { useEffect, useState } from "preact/hooks";

export type Place = "search" | "manage";

const placeOf = (hash: string): Place => (hash === "#manage" ? "manage" : "search");

/** Which of the page's two places the address names. */
export function usePlace(): Place {
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
  return place;
}
