import { useState } from "preact/hooks";
import type { Twin } from "@gen/twin/gateway/v1/gateway_pb";
import { page } from "../state/page";
import { askForMore } from "../state/searching";
import type { Search } from "../state/state";
import { alikeEnough, mayHoldMore, type Wish } from "../state/wish";
import { strings } from "../strings";
import { AtLeast } from "./AtLeast";
import { FacePhoto } from "./FacePhoto";

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
      {mayHoldMore(search.result, search.limit, minPercent) && <MoreButton />}
    </section>
  );
}

function MoreButton() {
  const [asking, setAsking] = useState(false);
  const ask = async () => {
    if (asking) return;
    setAsking(true);
    await askForMore();
    setAsking(false);
  };
  return (
    <div class="actions more">
      <button type="button" class="button button-quiet" aria-disabled={asking} onClick={() => void ask()}>
        {asking ? strings.others.asking : strings.others.more}
      </button>
    </div>
  );
}

/** One face with its name and how alike it is; opens the whole photo. */
export function TwinCard({ twin }: { twin: Twin }) {
  const person = twin.match?.person ?? "";
  return (
    <button type="button" class="card" onClick={() => page.send({ type: "viewing-changed", viewing: twin })}>
      <span class="card-photo">
        <FacePhoto url={twin.faceUrl} alt="" />
      </span>
      <span class="card-percent">{strings.others.percent(twin.match?.similarity?.percent ?? 0)}</span>
      <span class={person ? "card-name" : "card-name card-unnamed"}>{person || strings.face.unnamed}</span>
      {twin.samePerson.length > 0 && (
        <span class="card-more aside">{strings.others.photos(1 + twin.samePerson.length)}</span>
      )}
    </button>
  );
}
