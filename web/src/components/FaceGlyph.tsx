/** A face of two eyes and a mouth: what stands where a photo is not yet, its eyes where the photo's will be. */
export function FaceGlyph({ mood }: { mood: "smile" | "looking" | "flat" }) {
  return (
    <svg class={`glyph glyph-${mood}`} viewBox="0 0 100 125" aria-hidden="true" focusable="false">
      <g class="glyph-eyes">
        <circle cx="34" cy="52.500" r="6.500" />
        <circle cx="66" cy="52.500" r="6.500" />
      </g>
      <path class="glyph-mouth" d={mood === "smile" ? "M32 77q18 16 36 0" : "M36 80h28"} />
    </svg>
  );
}
