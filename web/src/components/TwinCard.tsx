import type { Twin } from "@gen/twin/gateway/v1/gateway_pb";
import type { Match } from "@gen/twin/vectorstore/v1/vectorstore_pb";
import { page } from "../state/page";
import { strings } from "../strings";
import { FacePhoto } from "./FacePhoto";

/** One face with its name and how alike it is; opens the whole photo. */
export function TwinCard({ twin }: { twin: Twin }) {
  return (
    <button type="button" class="card" onClick={() => page.send({ type: "viewing-changed", viewing: twin })}>
      <span class="card-photo">
        <FacePhoto url={twin.faceUrl} alt="" />
      </span>
      <CardWords match={twin.match} />
      {twin.samePerson.length > 0 && <span class="aside">{strings.others.photos(1 + twin.samePerson.length)}</span>}
    </button>
  );
}

/** How alike a match is, and who it is. */
export function CardWords({ match }: { match: Match | undefined }) {
  const person = match?.person ?? "";
  return (
    <>
      <span class="card-percent">{strings.others.percent(match?.similarity?.percent ?? 0)}</span>
      <span class={person ? "card-name" : "card-name card-unnamed"}>{person || strings.face.unnamed}</span>
    </>
  );
}
