import type { Comparison } from "../state/compare";
import { compare, compareAfresh } from "../state/comparing";
import { strings } from "../strings";
import { NextTry } from "./NextTry";
import { Percent } from "./Percent";

/** What comes of the comparison, or what is still missing for it. */
export function CompareWords({ comparison }: { comparison: Comparison }) {
  const words = strings.compare;
  const { photos, outcome } = comparison;
  const refused = photos.find((photo) => photo.phase === "failed");
  if (refused) return <Said {...strings.problem(refused.problem)} />;
  switch (outcome.phase) {
    case "idle": {
      const missing = photos.filter(({ phase }) => phase === "empty").length;
      return (
        <>
          <h1 class="display">{words.title}</h1>
          <p class="lead">{words.lead(missing)}</p>
          <p class="aside ways">{words.ways}</p>
          <p class="aside promise">{words.promise}</p>
          {missing === 1 && <Afresh />}
        </>
      );
    }
    case "comparing":
      return outcome.waiting ? (
        <Said {...strings.waiting(outcome.waiting.problem)} retryAt={outcome.waiting.retryAt} />
      ) : (
        <Said title={words.comparing} />
      );
    case "failed":
      return <Said {...strings.problem(outcome.problem)} retry />;
    case "done":
      return (
        <>
          <Percent percent={outcome.percent} />
          <h1 class="heading">{outcome.samePerson ? words.same : words.different}</h1>
          <p class="lead">{words.words(outcome.percent, outcome.samePerson)}</p>
          <p class="aside truth">{words.truth}</p>
          <Afresh main />
        </>
      );
  }
}

interface SaidProps {
  title: string;
  advice?: string;
  retry?: boolean;
  retryAt?: number | undefined;
}

function Said({ title, advice, retry = false, retryAt }: SaidProps) {
  return (
    <>
      <h1 class="heading">{title}</h1>
      {advice && <p class="lead">{advice}</p>}
      {retryAt && <NextTry at={retryAt} />}
      <div class="actions">
        {retry && (
          <button type="button" class="button" onClick={() => void compare()}>
            {strings.search.again}
          </button>
        )}
        <Afresh />
      </div>
    </>
  );
}

function Afresh({ main = false }: { main?: boolean }) {
  return (
    <button type="button" class={main ? "button button-main" : "button button-quiet"} onClick={compareAfresh}>
      {strings.compare.afresh}
    </button>
  );
}
