/** A face of two eyes and a mouth: what stands where a photo is not yet. */
export function FaceGlyph({ mood }: { mood: "smile" | "looking" | "flat" }) {
  return (
    <svg class={`glyph glyph-${mood}`} viewBox="0 0 100 100" aria-hidden="true" focusable="false">
      <g class="glyph-eyes">
        <circle cx="34" cy="42" r="6.500" />
        <circle cx="66" cy="42" r="6.500" />
      </g>
      <path class="glyph-mouth" d={mood === "smile" ? "M32 63q18 16 36 0" : "M36 66h28"} />
    </svg>
  );
}
