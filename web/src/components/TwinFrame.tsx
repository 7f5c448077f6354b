import { inSize } from "../photo/address";
import type { Search } from "../state/state";
import { strings } from "../strings";
import { FaceGlyph } from "./FaceGlyph";
import { FacePhoto } from "./FacePhoto";

/** The right frame: a face that waits, looks about while the search runs, and gives way to the twin. */
export function TwinFrame({ search }: { search: Search }) {
  const best = search.phase === "done" ? search.result.twins[0] : undefined;
  const busy = search.phase === "reading" || search.phase === "searching";
  const mood = busy ? "looking" : search.phase === "idle" ? "smile" : "flat";
  return (
    <figure class="frame frame-empty twin-frame">
      <FaceGlyph mood={mood} />
      {search.phase === "idle" && <figcaption class="frame-label">{strings.start.zoneTwin}</figcaption>}
      {best && (
        <FacePhoto
          key={best.faceUrl}
          url={inSize(best.faceUrl, "large")}
          alt={strings.face.twin(best.match?.person ?? "")}
        />
      )}
    </figure>
  );
}
