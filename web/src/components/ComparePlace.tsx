import { useRef } from "preact/hooks";
import type { ComparedPhoto, Comparison, Side } from "../state/compare";
import { compareFace, compareFile } from "../state/comparing";
import { strings } from "../strings";
import { ChoosePhoto } from "./ChoosePhoto";
import { CompareWords } from "./CompareWords";
import { FaceCrop } from "./FaceCrop";
import { FaceGlyph } from "./FaceGlyph";
import { FacePair } from "./FacePair";
import { FaceStrip, inReadingOrder } from "./FaceStrip";
import { useLostFocus } from "./useLostFocus";

/** Two photos, and how alike their faces are. */
export function ComparePlace({ comparison }: { comparison: Comparison }) {
  const [first, second] = comparison.photos;
  const words = useRef<HTMLDivElement>(null);
  useLostFocus(words, comparison);
  return (
    <>
      <section class="stage">
        <FacePair complete={first.phase === "ready" && second.phase === "ready"}>
          <CompareFrame side={0} photo={first} />
          <CompareFrame side={1} photo={second} />
        </FacePair>
        <div class="words" ref={words} tabIndex={-1}>
          <CompareWords comparison={comparison} />
        </div>
      </section>
      <Faces side={0} photo={first} />
      <Faces side={1} photo={second} />
    </>
  );
}

/** Where one of the photos goes, then its face; either way a button that takes another one. */
function CompareFrame({ side, photo }: { side: Side; photo: ComparedPhoto }) {
  const words = strings.compare.sides[side];
  const take = (file: File) => void compareFile(file, side);
  const shown = "photo" in photo ? photo.photo : undefined;
  if (!shown) {
    const mood = photo.phase === "failed" ? "flat" : photo.phase === "reading" ? "looking" : "smile";
    const tone = side === 0 ? "drop-zone" : "drop-zone drop-zone-second";
    return (
      <ChoosePhoto class={`frame frame-empty ${tone}`} label={words.choose} take={take}>
        <FaceGlyph mood={mood} />
        <span class="frame-label">{words.name}</span>
      </ChoosePhoto>
    );
  }
  const face = photo.phase === "ready" ? photo.found.faces.find(({ index }) => index === photo.chosen) : undefined;
  return (
    <ChoosePhoto
      class={`frame frame-photo frame-again ${face ? "" : "frame-scanned"}`}
      label={words.change}
      take={take}
    >
      <FaceCrop key={shown.url} photo={shown} face={face} moves />
    </ChoosePhoto>
  );
}

/** The faces of a photo that has several. */
function Faces({ side, photo }: { side: Side; photo: ComparedPhoto }) {
  if (photo.phase !== "ready" || photo.found.faces.length < 2) return null;
  const faces = inReadingOrder(photo.found.faces);
  const { name } = strings.compare.sides[side];
  return (
    <section class="others" aria-labelledby={`faces-${side}`}>
      <h2 id={`faces-${side}`} class="section-title">
        {strings.compare.faces(name, faces.length)}
      </h2>
      <FaceStrip
        photo={photo.photo}
        faces={faces}
        chosen={photo.chosen}
        choose={(index) => void compareFace(side, index)}
        label={name}
      />
    </section>
  );
}
