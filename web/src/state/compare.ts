import type { Problem } from "../api/problem";
import type { PreparedPhoto } from "../photo/prepare";
import type { FoundFaces, Waiting } from "./state";

/** The first photo, or the second. */
export type Side = 0 | 1;

/** One of the two photos that are compared. */
export type ComparedPhoto =
  | { phase: "empty" }
  | { phase: "reading"; photo?: PreparedPhoto }
  | { phase: "ready"; photo: PreparedPhoto; found: FoundFaces; chosen: number }
  | { phase: "failed"; problem: Problem };

/** What comes of comparing them. */
export type Outcome =
  | { phase: "idle" }
  /** `waiting` says why it takes longer. */
  | { phase: "comparing"; waiting?: Waiting }
  | { phase: "done"; percent: number; samePerson: boolean }
  | { phase: "failed"; problem: Problem };

export interface Comparison {
  photos: readonly [ComparedPhoto, ComparedPhoto];
  outcome: Outcome;
}

export const emptyComparison: Comparison = {
  photos: [{ phase: "empty" }, { phase: "empty" }],
  outcome: { phase: "idle" },
};

/** With another photo on one side; what was said of the two before holds no more. */
export function withPhoto({ photos }: Comparison, side: Side, photo: ComparedPhoto): Comparison {
  const [first, second] = photos;
  return { photos: side === 0 ? [photo, second] : [first, photo], outcome: { phase: "idle" } };
}

/** Where the next photo goes when nobody says where: to the first side that has none, else in place of the second. */
export function freeSide({ photos: [first, second] }: Comparison): Side {
  return first.phase === "empty" || (first.phase === "failed" && second.phase !== "failed") ? 0 : 1;
}
