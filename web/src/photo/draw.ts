import { toMatrix, type Placement } from "./alignment";

/** Longest side of the copy that fills what the photo does not cover, px: so few that only its colours remain. */
const BACKDROP_PX = 6;

/** Draws a photo into a canvas where the placement puts it; its own colours, blurred, fill what it does not cover. */
export function drawPlaced(canvas: HTMLCanvasElement, photo: HTMLImageElement, placement: Placement): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(backdropOf(photo), 0, 0, canvas.width, canvas.height);
  context.setTransform(...toMatrix(placement));
  context.drawImage(photo, 0, 0);
}

const backdrops = new WeakMap<HTMLImageElement, HTMLCanvasElement>();

function backdropOf(photo: HTMLImageElement): HTMLCanvasElement {
  const known = backdrops.get(photo);
  if (known) return known;
  const backdrop = document.createElement("canvas");
  backdrop.width = backdrop.height = BACKDROP_PX;
  const context = backdrop.getContext("2d");
  if (context) {
    context.imageSmoothingQuality = "high";
    context.drawImage(photo, 0, 0, BACKDROP_PX, BACKDROP_PX);
  }
  backdrops.set(photo, backdrop);
  return backdrop;
}
