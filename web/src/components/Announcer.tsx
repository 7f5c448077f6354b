import type { State } from "../state/state";
import { strings } from "../strings";

/** Tells screen readers what happened; everything it says can also be seen. */
export function Announcer({ state }: { state: State }) {
  return (
    <p class="visually-hidden" role="status" aria-live="polite">
      {message(state)}
    </p>
  );
}

function message({ search, gallery, picturesMissing }: State): string {
  switch (search.phase) {
    case "idle":
      return "";
    case "reading":
      return strings.search.reading;
    case "searching":
      return search.waiting ? strings.waiting(search.waiting).title : strings.search.searching(gallery?.faceCount);
    case "failed": {
      const { title, advice } = strings.problem(search.problem);
      return `${title}. ${advice}`;
    }
    case "done": {
      if (picturesMissing) return strings.search.picturesMissing;
      const match = search.result.twins[0]?.match;
      return match
        ? strings.search.announce(match.similarity?.percent ?? 0, match.person)
        : strings.search.announceNone;
    }
  }
}
