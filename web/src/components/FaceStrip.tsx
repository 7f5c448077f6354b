import type { Face } from "@gen/twin/face/v1/face_pb";
import type { PreparedPhoto } from "../photo/prepare";
import { strings } from "../strings";
import { FaceCrop } from "./FaceCrop";

interface Props {
  photo: PreparedPhoto;
  faces: readonly Face[];
  chosen: number | undefined;
  choose: (faceIndex: number) => void;
  /** What the choice is about, where the strip is the only way to choose; else it is for the eyes and fingers alone. */
  label?: string;
}

/** Each face of a photo, large enough for a finger. */
export function FaceStrip({ photo, faces, chosen, choose, label }: Props) {
  return (
    <ul class="strip" aria-label={label} aria-hidden={label === undefined}>
      {faces.map((face, place) => {
        const isChosen = face.index === chosen;
        return (
          <li key={face.index}>
            <button
              type="button"
              {...(label === undefined
                ? // Nothing that readers are not told of may have the focus.
                  { tabIndex: -1, onMouseDown: (event: Event) => event.preventDefault() }
                : { "aria-label": strings.face.name(place + 1, faces.length), "aria-pressed": isChosen })}
              class={`strip-face ${isChosen ? "strip-chosen" : ""}`}
              onClick={() => choose(face.index)}
            >
              <FaceCrop photo={photo} face={face} />
            </button>
          </li>
        );
      })}
    </ul>
  );
}

/** From left to right, as a photo is read. */
export function inReadingOrder(faces: readonly Face[]): Face[] {
  return [...faces].sort((first, second) => (first.box?.left ?? 0) - (second.box?.left ?? 0));
}
