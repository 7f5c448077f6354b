/** Why there is no picture from the camera. */
export type CameraProblem = "denied" | "none" | "busy" | "failed";

/** More than the search needs, where the camera has it, px. */
const IDEAL_SIDE_PX = 1920;
const JPEG_QUALITY = 0.95;

/** False over plain HTTP from another machine, where browsers keep the camera to themselves. */
export const hasCamera = (): boolean => "mediaDevices" in navigator;

/** Opens the camera that looks at whoever sits before the screen. Throws what cameraProblem tells apart. */
export function openCamera(): Promise<MediaStream> {
  const video = { facingMode: "user", width: { ideal: IDEAL_SIDE_PX }, height: { ideal: IDEAL_SIDE_PX } };
  return navigator.mediaDevices.getUserMedia({ video, audio: false });
}

/** Ends the recording, so that the camera's lamp goes out. */
export function closeCamera(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

/** The picture that the video shows now, as a file, not mirrored. */
export async function photograph(video: HTMLVideoElement): Promise<File> {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/jpeg", JPEG_QUALITY));
  return new File(blob ? [blob] : [], "camera.jpg", { type: "image/jpeg" });
}

/** Tells apart what getUserMedia throws (Media Capture and Streams, section 10.3.1). */
export function cameraProblem(thrown: unknown): CameraProblem {
  const name = thrown instanceof DOMException ? thrown.name : "";
  if (name === "NotAllowedError" || name === "SecurityError") return "denied";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "none";
  if (name === "NotReadableError" || name === "AbortError") return "busy";
  return "failed";
}
