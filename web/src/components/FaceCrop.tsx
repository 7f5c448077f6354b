import { useEffect, useRef, useState } from "preact/hooks";
import type { Face } from "@gen/twin/face/v1/face_pb";
import { alignEyes, blend, fitWhole, type Placement } from "../photo/alignment";
import { drawPlaced } from "../photo/draw";
import { imageOf } from "../photo/image";
import type { PreparedPhoto } from "../photo/prepare";

interface Props {
  photo: PreparedPhoto;
  /** The whole photo is shown until there is one. */
  face: Face | undefined;
  label?: string;
  /** The view travels from the whole photo, or from the face shown before, to this face. */
  moves?: boolean;
}

const TRAVEL_MS = 900;

/** One face of the photo with its eyes level, drawn the way the gallery's face crops are. */
export function FaceCrop({ photo, face, label, moves = false }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const shown = useRef<Placement>(undefined);
  const image = useImage(photo);

  useEffect(() => {
    const target = canvas.current;
    const { leftEye, rightEye } = face?.landmarks ?? {};
    const box = face?.box;
    if (!target || !image) return;
    let frame = 0;
    const fitCanvas = () => {
      const density = Math.min(devicePixelRatio, 2);
      target.width = Math.max(1, Math.round(target.clientWidth * density));
      target.height = Math.max(1, Math.round(target.clientHeight * density));
    };
    const place = (placement: Placement) => {
      shown.current = placement;
      drawPlaced(target, image, placement);
    };
    const whole = { width: image.naturalWidth, height: image.naturalHeight };
    const goal = () => {
      if (box && leftEye && rightEye) return alignEyes(leftEye, rightEye, box, target);
      return fitWhole(whole, target, { x: whole.width / 2, y: whole.height / 2 });
    };
    const rest = () => {
      fitCanvas();
      place(goal());
    };
    const travel = () => {
      fitCanvas();
      const end = goal();
      const start = shown.current ?? end;
      const begin = performance.now();
      const step = (now: number) => {
        const t = Math.max(0, Math.min(1, (now - begin) / TRAVEL_MS));
        place(blend(start, end, ease(t)));
        if (t < 1) frame = requestAnimationFrame(step);
        else frame = 0;
      };
      step(begin);
    };
    if (moves && !matchMedia("(prefers-reduced-motion: reduce)").matches) travel();
    else rest();
    const resized = new ResizeObserver(() => frame === 0 && rest());
    resized.observe(target);
    return () => {
      cancelAnimationFrame(frame);
      resized.disconnect();
    };
  }, [image, face, moves]);

  return label ? (
    <canvas ref={canvas} class="face-crop" role="img" aria-label={label} />
  ) : (
    <canvas ref={canvas} class="face-crop" aria-hidden="true" />
  );
}

const ease = (t: number) => (t < 0.5 ? 4 * t ** 3 : 1 - (2 - 2 * t) ** 3 / 2);

function useImage(photo: PreparedPhoto): HTMLImageElement | undefined {
  const [image, setImage] = useState<HTMLImageElement>();
  useEffect(() => {
    let wanted = true;
    imageOf(photo).then(
      (loaded) => wanted && setImage(loaded),
      () => undefined, // The frame stays empty.
    );
    return () => {
      wanted = false;
    };
  }, [photo]);
  return image;
}
