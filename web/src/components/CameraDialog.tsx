import { useEffect, useRef, useState } from "preact/hooks";
import { cameraProblem, closeCamera, openCamera, photograph, type CameraProblem } from "../photo/camera";
import { strings } from "../strings";

interface Props {
  take: (photo: File) => void;
  close: () => void;
}

/** What the camera sees, as in a mirror, with the place where the face should be. */
export function CameraDialog({ take, close }: Props) {
  const words = strings.camera;
  const dialog = useRef<HTMLDialogElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const shutter = useRef<HTMLButtonElement>(null);
  const [state, setState] = useState<"starting" | "live" | CameraProblem>("starting");
  useEffect(() => {
    dialog.current?.showModal();
    let stream: MediaStream | undefined;
    let wanted = true;
    const start = async () => {
      try {
        stream = await openCamera();
        if (!wanted || !video.current) return closeCamera(stream);
        video.current.srcObject = stream;
        await video.current.play();
        setState("live");
        shutter.current?.focus();
      } catch (thrown) {
        if (wanted) setState(cameraProblem(thrown));
      }
    };
    void start();
    return () => {
      wanted = false;
      if (stream) closeCamera(stream);
    };
  }, []);
  const shoot = async () => {
    if (!video.current || state !== "live") return;
    const photo = await photograph(video.current);
    dialog.current?.close();
    take(photo);
  };
  const problem = state === "starting" || state === "live" ? undefined : words.problems[state];
  return (
    <dialog ref={dialog} class="viewer camera" aria-label={words.title} onClose={close}>
      {problem ? (
        <div class="camera-problem" role="alert">
          <h2 class="section-title">{problem.title}</h2>
          <p>{problem.advice}</p>
        </div>
      ) : (
        <div class="camera-view">
          <video ref={video} class="camera-video" muted playsInline aria-label={words.picture} />
          <FaceGuide />
          <p class="camera-hint" role="status">
            {state === "live" ? words.hint : words.starting}
          </p>
        </div>
      )}
      <div class="actions camera-actions">
        {!problem && (
          <button
            ref={shutter}
            type="button"
            class="button button-main"
            aria-disabled={state !== "live"}
            onClick={() => void shoot()}
          >
            {words.shoot}
          </button>
        )}
        <button type="button" class="button button-quiet" onClick={() => dialog.current?.close()}>
          {strings.search.cancel}
        </button>
      </div>
    </dialog>
  );
}

/** An oval for the face, with marks where the eyes belong. */
function FaceGuide() {
  return (
    <svg class="camera-guide" viewBox="0 0 100 125" aria-hidden="true" focusable="false">
      <path class="camera-shade" fill-rule="evenodd" d="M0 0h100v125H0zM50 18a29 39 0 1 0 0 78a29 39 0 1 0 0-78z" />
      <ellipse class="camera-oval" cx="50" cy="57" rx="29" ry="39" />
      <path class="camera-eyes" d="M14 52.500h9M77 52.500h9" />
    </svg>
  );
}
