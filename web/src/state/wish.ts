import type { FaceResult, Twin } from "@gen/twin/gateway/v1/gateway_pb";
import { MatchMode } from "@gen/twin/vectorstore/v1/vectorstore_pb";

/** Who is looked for: others who look alike, photos of the same person, or the nearest faces whoever they are. */
export type Mode = "lookalike" | "same-person" | "nearest";

export const MODES: readonly Mode[] = ["lookalike", "same-person", "nearest"];

export const MATCH_MODES: Readonly<Record<Mode, MatchMode>> = {
  lookalike: MatchMode.LOOKALIKE,
  "same-person": MatchMode.SAME_PERSON,
  nearest: MatchMode.NEAREST,
};

/** How many matches a search asks for, and how many when a visitor wants more; the gateway gives 100 at most. */
export const FIRST_LIMIT = 15;
export const MORE_LIMIT = 100;

/** What the visitor looks for; it holds from one photo to the next. */
export interface Wish {
  mode: Mode;
  /** 0 to 99, whole: what is less alike is left out. */
  minPercent: number;
}

/** The percentage that is shown for a match, whole. */
export const shownPercent = (twin: Twin): number => Math.round(twin.match?.similarity?.percent ?? 0);

/** The matches that are alike enough, in their order. */
export function alikeEnough(twins: readonly Twin[], minPercent: number): readonly Twin[] {
  return twins.filter((twin) => shownPercent(twin) >= minPercent);
}

/** True when matches that are alike enough may have been cut off: the answer is full, and its last is alike enough too. */
export function mayHoldMore({ twins }: FaceResult, limit: number, minPercent: number): boolean {
  const last = twins.at(-1);
  return limit < MORE_LIMIT && twins.length >= limit && last !== undefined && shownPercent(last) >= minPercent;
}
