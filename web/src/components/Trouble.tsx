import { passesByItself } from "../api/problem";
import { searchAgain } from "../state/searching";
import type { Search } from "../state/state";
import { strings } from "../strings";
import { ChoosePhoto } from "./ChoosePhoto";
import { HomeButton } from "./HomeButton";

interface Props {
  search: Extract<Search, { phase: "failed" }>;
  canGoHome: boolean;
}

/** What went wrong with the search, and what to do. */
export function Trouble({ search, canGoHome }: Props) {
  const { problem, photo } = search;
  const { title, advice } = strings.problem(problem);
  const again = problem.kind === "unexpected" || passesByItself(problem);
  return (
    <>
      <h1 class="heading">{title}</h1>
      <p class="lead">{advice}</p>
      {problem.detail && <p class="aside detail">{problem.detail}</p>}
      <div class="actions">
        {canGoHome && <HomeButton />}
        <ChoosePhoto class="button button-main">{strings.search.another}</ChoosePhoto>
        {again && photo && (
          <button type="button" class="button button-quiet" onClick={() => void searchAgain()}>
            {strings.search.again}
          </button>
        )}
      </div>
    </>
  );
}
