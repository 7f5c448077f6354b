import { useEffect, useRef, useState } from "preact/hooks";
import type { Twin } from "@gen/twin/gateway/v1/gateway_pb";
import { inSize } from "../photo/address";
import { page } from "../state/page";
import { searchWithMatch } from "../state/searching";
import { strings } from "../strings";
import { PicturesMissing } from "./PicturesMissing";

const close = () => page.send({ type: "viewing-changed", viewing: undefined });

/** A match's whole photo, with its face outlined. */
export function PhotoViewer({ twin }: { twin: Twin | undefined }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (twin) dialog.current?.showModal();
  }, [twin]);
  if (!twin) return null;
  const title = strings.viewer.photoOf(twin.match?.person ?? "");
  const closeOutside = (event: MouseEvent) => event.target === dialog.current && dialog.current?.close();
  return (
    <dialog ref={dialog} class="viewer" aria-label={title} onClose={close} onClick={closeOutside}>
      <div class="viewer-bar">
        <p>{title}</p>
        <button type="button" class="button button-main" onClick={() => void searchWithMatch(twin)}>
          {strings.viewer.twins}
        </button>
        <button type="button" class="button button-quiet" onClick={() => dialog.current?.close()}>
          {strings.viewer.close}
        </button>
      </div>
      <OutlinedPhoto key={twin.imageUrl} twin={twin} title={title} />
    </dialog>
  );
}

function OutlinedPhoto({ twin, title }: { twin: Twin; title: string }) {
  const [size, setSize] = useState<{ width: number; height: number }>();
  const box = twin.match?.box;
  const [missing, setMissing] = useState(false);
  if (missing) return <PicturesMissing />;
  // The box is in pixels of the original, which is why the original is shown.
  const share = (part: number, whole: number) => `${((100 * part) / whole).toFixed(3)}%`;
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
      {box && size && (
        <span
          class="viewer-outline"
          aria-hidden="true"
          style={{
            left: share(box.left, size.width),
            top: share(box.top, size.height),
            width: share(box.width, size.width),
            height: share(box.height, size.height),
          }}
        />
      )}
    </div>
  );
}
