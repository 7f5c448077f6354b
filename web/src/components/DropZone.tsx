import { strings } from "../strings";
import { ChoosePhoto } from "./ChoosePhoto";
import { FaceGlyph } from "./FaceGlyph";

/** The empty frame for the visitor's photo; photos may be dropped anywhere, and this shows where they go. */
export function DropZone() {
  return (
    <ChoosePhoto class="frame frame-empty drop-zone" label={strings.start.zoneAction}>
      <FaceGlyph mood="smile" />
      <span class="frame-label">{strings.start.zone}</span>
    </ChoosePhoto>
  );
}
