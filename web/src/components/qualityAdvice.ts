import { QualityIssue, type Quality } from "@gen/twin/face/v1/face_pb";
import { strings } from "../strings";

const WORDS: Partial<Record<QualityIssue, string>> = {
  [QualityIssue.TOO_SMALL]: strings.quality.tooSmall,
  [QualityIssue.BLURRED]: strings.quality.blurred,
  [QualityIssue.TOO_DARK]: strings.quality.tooDark,
  [QualityIssue.TOO_BRIGHT]: strings.quality.tooBright,
  [QualityIssue.TURNED_AWAY]: strings.quality.turnedAway,
  [QualityIssue.LOW_CONFIDENCE]: strings.quality.unsure,
};

/** What would make the chosen face easier to compare, in words. */
export function qualityAdvice(quality: Quality | undefined): string[] {
  return (quality?.issues ?? []).flatMap((issue) => WORDS[issue] ?? []);
}
