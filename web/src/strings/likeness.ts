/** How alike two faces are, in words that each language has. */
export type Likeness = "same" | "uncanny" | "strong" | "fair" | "faint" | "weak";

/** Two photos of one person begin at about 78 %, so that a twin, who is somebody else, is always below. `exact` is 0 to 100. */
export function likenessOf(exact: number): Likeness {
  const percent = Math.round(exact);
  if (percent >= 78) return "same";
  if (percent >= 65) return "uncanny";
  if (percent >= 45) return "strong";
  if (percent >= 25) return "fair";
  if (percent >= 10) return "faint";
  return "weak";
}
