import type { FaceResult } from "@gen/twin/gateway/v1/gateway_pb";
import { searchWithFace } from "../state/searching";
import type { Done } from "../state/state";
import { strings } from "../strings";
import { FaceCrop } from "./FaceCrop";
import { FacePhoto } from "./FacePhoto";
import { inReadingOrder } from "./FaceStrip";
import { CardWords } from "./TwinCard";

/** Every face of the photo beside its twin. */
export function EveryoneGrid({ search }: { search: Done }) {
  const { everyone, found, chosen } = search;
  if (!everyone) return null;
  const faces = inReadingOrder(found.faces);
  return (
    <section class="others everyone" aria-labelledby="everyone-title">
      <h2 id="everyone-title" class="section-title" tabIndex={-1}>
        {strings.everyone.title}
      </h2>
      <ul class="grid grid-pairs">
        {faces.map((face, place) => {
          const result = everyone.find(({ faceIndex }) => faceIndex === face.index);
          if (!result) return null;
          return (
            <li key={face.index}>
              <button
                type="button"
                class="card"
                aria-pressed={face.index === chosen}
                onClick={() => void searchWithFace(face.index)}
              >
                <span class="visually-hidden">{strings.face.name(place + 1, faces.length)}:</span>
                <span class="small-pair">
                  <FaceCrop photo={search.photo} face={face} />
                  {result.twins[0] && <FacePhoto url={result.twins[0].faceUrl} alt="" />}
                </span>
                <Words result={result} />
              </button>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function Words({ result }: { result: FaceResult }) {
  const match = result.twins[0]?.match;
  return match ? <CardWords match={match} /> : <span class="card-name card-unnamed">{strings.everyone.nobody}</span>;
}
