import { useEffect, useRef, useState } from "preact/hooks";
import type { Twin } from "@gen/twin/gateway/v1/gateway_pb";
import { inSize } from "../photo/address";
import { boxOver } from "../photo/boxOver";
import { page } from "../state/page";
import { searchWithMatch } from "../state/searching";
import { strings } from "../strings";
import { FacePhoto } from "./FacePhoto";
import { PicturesMissing } from "./PicturesMissing";

const close = () => page.send({ type: "viewing-changed", viewing: undefined });

/** A match's whole photo, with its face outlined, and the further photos of that person. */
export function PhotoViewer({ twin }: { twin: Twin | undefined }) {
  return twin ? <Viewer key={String(twin.match?.faceId)} twin={twin} /> : null;
}

function Viewer({ twin }: { twin: Twin }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const photos = [twin, ...twin.samePerson];
  const [place, setPlace] = useState(0);
  const shown = photos[place] ?? twin;
  useEffect(() => dialog.current?.showModal(), []);
  const title = strings.viewer.photoOf(twin.match?.person ?? "");
  const closeOutside = (event: MouseEvent) => event.target === dialog.current && dialog.current?.close();
  return (
    <dialog ref={dialog} class="viewer" aria-label={title} onClose={close} onClick={closeOutside}>
      <div class="viewer-bar">
        <p>{title}</p>
        <button type="button" class="button button-main" onClick={() => void searchWithMatch(shown)}>
          {strings.viewer.twins}
        </button>
        <button type="button" class="button button-quiet" onClick={() => dialog.current?.close()}>
          {strings.viewer.close}
        </button>
      </div>
      {photos.length > 1 && (
        <ul class="viewer-strip" aria-label={strings.viewer.photos}>
          {photos.map((photo, index) => (
            <li key={String(photo.match?.faceId)}>
              <button
                type="button"
                class={`strip-face ${index === place ? "strip-chosen" : ""}`}
                aria-pressed={index === place}
                aria-label={strings.viewer.place(index + 1, photos.length)}
                onClick={() => setPlace(index)}
              >
                <FacePhoto url={photo.faceUrl} alt="" />
              </button>
            </li>
          ))}
        </ul>
      )}
      <OutlinedPhoto key={shown.imageUrl} twin={shown} title={title} />
    </dialog>
  );
}

function OutlinedPhoto({ twin, title }: { twin: Twin; title: string }) {
  const [size, setSize] = useState<{ width: number; height: number }>();
  const box = twin.match?.box;
  const [missing, setMissing] = useState(false);
  if (missing) return <PicturesMissing />;
  // The box is in pixels of the original, which is why the original is shown.
  return (
    <div class="viewer-photo">
      <img
        src={inSize(twin.imageUrl, "original")}
        alt={title}
        onError={() => setMissing(true)}
        onLoad={({ currentTarget }) =>
          setSize({ width: currentTarget.naturalWidth, height: currentTarget.naturalHeight })
        }
      />
      {box && size && <span class="viewer-outline" aria-hidden="true" style={boxOver(size, box)} />}
    </div>
  );
}
