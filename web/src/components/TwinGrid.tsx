import { askForMore } from "../state/searching";
import type { Search } from "../state/state";
import { alikeEnough, mayHoldMore, type Wish } from "../state/wish";
import { strings } from "../strings";
import { AtLeast } from "./AtLeast";
import { BusyButton } from "./BusyButton";
import { TwinCard } from "./TwinCard";

interface Props {
  search: Extract<Search, { phase: "done" }>;
  wish: Wish;
}

/** The twins after the best, one a person, as far as they are alike enough. */
export function TwinGrid({ search, wish }: Props) {
  const { mode, minPercent } = wish;
  const others = search.result.twins.slice(1);
  if (others.length === 0) return null;
  const shown = alikeEnough(others, minPercent);
  return (
    <section class="others" aria-labelledby="others-title">
      <div class="others-bar">
        <h2 id="others-title" class="section-title">
          {strings.others.title(mode)}
        </h2>
        <AtLeast minPercent={minPercent} shown={shown.length} count={others.length} />
      </div>
      {shown.length === 0 && <p class="lead">{strings.others.none}</p>}
      <ul class="grid">
        {shown.map((twin) => (
          <li key={String(twin.match?.faceId)}>
            <TwinCard twin={twin} />
          </li>
        ))}
      </ul>
      {mayHoldMore(search.result, search.limit, minPercent) && (
        <div class="actions more">
          <BusyButton
            class="button button-quiet"
            words={strings.others.more}
            busyWords={strings.others.asking}
            work={askForMore}
          />
        </div>
      )}
    </section>
  );
}
