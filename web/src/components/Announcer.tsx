import type { State } from "../state/state";
import type { Comparison } from "../state/compare";
import { strings } from "../strings";
import type { Place } from "./usePlace";

/** Tells screen readers what happened; everything it says can also be seen. */
export function Announcer({ state, place }: { state: State; place: Place }) {
  return (
    <p class="visually-hidden" role="status" aria-live="polite">
      {place === "compare" ? ofComparison(state.comparison) : message(state)}
    </p>
  );
}

function ofComparison({ photos, outcome }: Comparison): string {
  const refused = photos.find((photo) => photo.phase === "failed");
  if (refused) return inOneLine(strings.problem(refused.problem));
  switch (outcome.phase) {
    case "idle":
      return "";
    case "comparing":
      return outcome.waiting ? strings.waiting(outcome.waiting.problem).title : strings.compare.comparing;
    case "failed":
      return inOneLine(strings.problem(outcome.problem));
    case "done":
      return strings.compare.announce(outcome.percent, outcome.samePerson);
  }
}

const inOneLine = ({ title, advice }: { title: string; advice: string }) => `${title}. ${advice}`;

function message({ search, gallery, picturesMissing, trouble }: State): string {
  switch (search.phase) {
    case "idle":
      return trouble ? strings.problem(trouble.problem).title : "";
    case "reading":
      return strings.search.reading;
    case "searching":
      return search.waiting
        ? strings.waiting(search.waiting.problem).title
        : strings.search.searching(gallery?.faceCount);
    case "failed":
      return inOneLine(strings.problem(search.problem));
    case "done": {
      if (picturesMissing) return strings.search.picturesMissing;
      const match = search.result.twins[0]?.match;
      return match
        ? strings.search.announce(match.similarity?.percent ?? 0, match.person)
        : strings.search.announceNone;
    }
  }
}
