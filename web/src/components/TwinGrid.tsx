import type { Twin } from "@gen/twin/gateway/v1/gateway_pb";
import { page } from "../state/page";
import { strings } from "../strings";
import { FacePhoto } from "./FacePhoto";

/** The twins after the best, one a person. */
export function TwinGrid({ twins }: { twins: readonly Twin[] }) {
  if (twins.length === 0) return null;
  return (
    <section class="others" aria-labelledby="others-title">
      <h2 id="others-title" class="section-title">
        {strings.others.title}
      </h2>
      <ul class="grid">
        {twins.map((twin) => (
          <li key={String(twin.match?.faceId)}>
            <TwinCard twin={twin} />
          </li>
        ))}
      </ul>
    </section>
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
    </button>
  );
}
