import type { Twin } from "@gen/twin/gateway/v1/gateway_pb";
import { strings } from "../strings";
import { TwinCard } from "./TwinCard";

/** Photos of whoever is searched with, who is no twin of themselves. */
export function YourselfGrid({ photos, borrowed }: { photos: readonly Twin[]; borrowed: boolean }) {
  if (photos.length === 0) return null;
  return (
    <section class="others yourself" aria-labelledby="yourself-title">
      <h2 id="yourself-title" class="section-title">
        {borrowed ? strings.yourself.samePerson : strings.yourself.title}
      </h2>
      <p>{strings.yourself.lead}</p>
      <ul class="grid grid-small">
        {photos.map((photo) => (
          <li key={String(photo.match?.faceId)}>
            <TwinCard twin={photo} />
          </li>
        ))}
      </ul>
    </section>
  );
}
