import { useState } from "preact/hooks";
import { hasCamera } from "../photo/camera";
import { searchWithFile } from "../state/searching";
import { strings } from "../strings";
import { CameraDialog } from "./CameraDialog";

/** A button that takes the photo with the camera, where the browser lets a page use it. */
export function UseCamera() {
  const [open, setOpen] = useState(false);
  if (!hasCamera()) return null;
  return (
    <>
      <button type="button" class="button" onClick={() => setOpen(true)}>
        {strings.camera.open}
      </button>
      {open && <CameraDialog take={(file) => void searchWithFile(file)} close={() => setOpen(false)} />}
    </>
  );
}
