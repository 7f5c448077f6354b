import type { Quality } from "@gen/twin/face/v1/face_pb";
import { strings } from "../strings";

/** What would make the chosen face easier to compare, in words. */
export function qualityAdvice(quality: Quality | undefined): string[] {
  return (quality?.issues ?? []).flatMap((issue) => strings.quality[issue] ?? []);
}
