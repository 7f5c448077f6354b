import { searchAgain, startAgain } from "../state/searching";
import type { Gallery, Search } from "../state/state";
import { strings } from "../strings";
import { NextTry } from "./NextTry";

type Busy = Extract<Search, { phase: "reading" | "searching" }>;

/** What is being done, and why it takes longer when it does. */
export function Progress({ search, gallery }: { search: Busy; gallery: Gallery | undefined }) {
  const waiting = search.phase === "searching" ? search.waiting : undefined;
  if (waiting) {
    const { title, advice } = strings.waiting(waiting.problem);
    return (
      <>
        <h1 class="heading">{title}</h1>
        <p class="lead">{advice}</p>
        {waiting.retryAt && <NextTry at={waiting.retryAt} />}
        <div class="actions">
          <button type="button" class="button" onClick={() => void searchAgain()}>
            {strings.search.now}
          </button>
          <button type="button" class="button button-quiet" onClick={startAgain}>
            {strings.search.cancel}
          </button>
        </div>
      </>
    );
  }
  const doing = search.phase === "reading" ? strings.search.reading : strings.search.searching(gallery?.faceCount);
  return (
    <>
      <h1 class="heading">{doing}</h1>
      <div class="actions">
        <button type="button" class="button button-quiet" onClick={startAgain}>
          {strings.search.cancel}
        </button>
      </div>
    </>
  );
}
