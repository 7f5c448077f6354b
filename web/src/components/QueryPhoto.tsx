import type { ComponentChildren } from "preact";
import type { Face } from "@gen/twin/face/v1/face_pb";
import { boxOver } from "../photo/boxOver";
import type { PreparedPhoto } from "../photo/prepare";
import { searchWithFace } from "../state/searching";
import type { FoundFaces } from "../state/state";
import { strings } from "../strings";
import { EveryoneButton } from "./EveryoneButton";
import { FaceStrip, inReadingOrder } from "./FaceStrip";
import { qualityAdvice } from "./qualityAdvice";

interface Props {
  photo: PreparedPhoto;
  found: FoundFaces;
  chosen: number | undefined;
  /** The faces may all be searched with at once. */
  canAskEveryone: boolean;
  children: ComponentChildren;
}

/** The whole photo with every face outlined; choosing one searches with it. */
export function QueryPhoto({ photo, found, chosen, canAskEveryone, children }: Props) {
  const faces = inReadingOrder(found.faces);
  const several = faces.length > 1;
  const advice = qualityAdvice(faces.find((face) => face.index === chosen)?.quality);
  return (
    <section
      class={`query ${found.width > found.height ? "query-wide" : ""} ${several ? "" : "query-single"}`}
      aria-labelledby="query-title"
    >
      <figure class="query-photo">
        <img src={photo.url} alt={strings.search.photo(photo.borrowed)} width={found.width} height={found.height} />
        {faces.map((face, place) => (
          <FaceOutline
            key={face.index}
            face={face}
            found={found}
            name={strings.face.name(place + 1, faces.length)}
            chosen={face.index === chosen}
          />
        ))}
      </figure>
      <div class="section-words">
        <h2 id="query-title" class="section-title">
          {strings.search.found(faces.length)}
        </h2>
        {several && <p>{strings.search.chooseAnother}</p>}
        {advice.map((line) => (
          <p key={line} class="aside">
            {line}
          </p>
        ))}
        {/* The outlines are the buttons for keyboards and screen readers. */}
        {several && (
          <FaceStrip photo={photo} faces={faces} chosen={chosen} choose={(index) => void searchWithFace(index)} />
        )}
        {several && canAskEveryone && <EveryoneButton />}
        {children}
      </div>
    </section>
  );
}

interface OutlineProps {
  face: Face;
  found: FoundFaces;
  name: string;
  chosen: boolean;
}

function FaceOutline({ face, found, name, chosen }: OutlineProps) {
  const box = face.box;
  if (!box) return null;
  return (
    <button
      type="button"
      class="outline"
      aria-label={name}
      aria-pressed={chosen}
      onClick={() => void searchWithFace(face.index)}
      style={boxOver(found, box)}
    />
  );
}
