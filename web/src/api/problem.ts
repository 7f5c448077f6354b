import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "@gen/google/rpc/error_details_pb";
import { QualityIssue } from "@gen/twin/face/v1/face_pb";
import type { UnreadFormat } from "../photo/format";
import { UnusableFile } from "../photo/prepare";

/** What went wrong, as far as a visitor can do something different about it. */
export type ProblemKind =
  | "no-face"
  | "low-quality"
  | "unreadable"
  | "too-large"
  | "heic"
  | "unread-format"
  | "not-a-photo"
  | "empty"
  | "link-dropped"
  | "face-gone"
  | "picture-gone"
  | "starting"
  | "degraded"
  | "overloaded"
  | "unreachable"
  | "offline"
  | "duplicate"
  | "not-found"
  | "consent"
  | "malformed"
  | "receipt-unknown"
  | "receipt-incomplete"
  | "unexpected";

/** The most that the service takes of one photo. */
export interface SizeLimit {
  amount: number;
  unit: "bytes" | "pixels";
}

export interface Problem {
  kind: ProblemKind;
  /** For "unread-format": what the file is. */
  format?: UnreadFormat;
  /** For "too-large": what would not have been. */
  limit?: SizeLimit;
  /** For "low-quality": what is wrong with the face. */
  issues?: readonly QualityIssue[];
  /** How long the service asks callers to wait, ms. */
  retryAfterMs?: number;
  /** The service's own words, for problems that have none here. */
  detail?: string;
}

const KIND_BY_REASON: Readonly<Record<string, ProblemKind>> = {
  NO_FACE: "no-face",
  LOW_QUALITY: "low-quality",
  UNREADABLE_IMAGE: "unreadable",
  IMAGE_TOO_LARGE: "too-large",
  FACE_INDEX_OUT_OF_RANGE: "face-gone",
  INVALID_FIELD: "malformed",
  NOT_FOUND: "not-found",
  DUPLICATE_PHOTO: "duplicate",
  OVERLOADED: "overloaded",
  RATE_LIMITED: "overloaded",
  DEPENDENCY_UNAVAILABLE: "degraded",
  NOT_READY: "starting",
  CONSENT_MISSING: "consent",
};

const KIND_BY_CODE: Readonly<Partial<Record<Code, ProblemKind>>> = {
  [Code.Unavailable]: "starting",
  [Code.DeadlineExceeded]: "overloaded",
  // Without a reason of ours, it is the transport's own refusal of a message over its limit.
  [Code.ResourceExhausted]: "too-large",
  [Code.NotFound]: "not-found",
};

/** For a refusal that does not name its limit: the service's own, where nothing else was set. */
const USUAL_LIMIT: SizeLimit = { amount: 20 * 2 ** 20, unit: "bytes" };

/** A picture of the gallery that cannot be had: its address has run out, or its owner has deleted it. */
export class PictureGone extends Error {}

/** Turns whatever a call threw into a problem. */
export function toProblem(thrown: unknown, online: boolean = navigator.onLine): Problem {
  if (thrown instanceof UnusableFile) return { kind: thrown.why, ...(thrown.format && { format: thrown.format }) };
  if (thrown instanceof PictureGone) return { kind: "picture-gone" };
  // fetch throws TypeError when no answer came at all.
  if (thrown instanceof TypeError) return { kind: online ? "unreachable" : "offline" };
  if (thrown instanceof DOMException && thrown.name === "TimeoutError") return { kind: "unreachable" };
  if (!(thrown instanceof ConnectError)) return { kind: "unexpected", detail: String(thrown) };
  if (thrown.cause instanceof TypeError) return { kind: online ? "unreachable" : "offline" };

  const info = thrown.findDetails(ErrorInfoSchema).find((info) => info.domain === "twin");
  const kind = KIND_BY_REASON[info?.reason ?? ""] ?? KIND_BY_CODE[thrown.code] ?? "unexpected";
  const delay = thrown.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    kind,
    ...(kind === "too-large" && { limit: limitIn(info?.metadata) ?? USUAL_LIMIT }),
    ...(kind === "low-quality" && { issues: issuesIn(info?.metadata) }),
    ...(delay && { retryAfterMs: Number(delay.seconds) * 1000 + delay.nanos / 1e6 }),
    ...((kind === "unexpected" || kind === "malformed") && { detail: thrown.rawMessage }),
  };
}

/** The same for a removal: what was asked for is what a receipt names. */
export function toRemovalProblem(thrown: unknown, online: boolean = navigator.onLine): Problem {
  const problem = toProblem(thrown, online);
  if (problem.kind === "not-found") return { kind: "receipt-unknown" };
  if (problem.kind === "malformed") return { kind: "receipt-incomplete" };
  return problem;
}

function limitIn(metadata: Readonly<Record<string, string>> = {}): SizeLimit | undefined {
  const amount = Number(metadata["limit"]);
  const unit = metadata["unit"];
  if (!(amount > 0) || (unit !== "bytes" && unit !== "pixels")) return undefined;
  return { amount, unit };
}

/** The issues that are known here; a newer service may name others. */
function issuesIn(metadata: Readonly<Record<string, string>> = {}): QualityIssue[] {
  const names = (metadata["issues"] ?? "").split(",");
  return names.flatMap((name) => QualityIssue[name as keyof typeof QualityIssue] ?? []);
}

/** True for problems that pass by themselves, so that waiting and asking again helps. */
export function passesByItself(problem: Problem): boolean {
  return ["starting", "degraded", "overloaded", "unreachable", "offline"].includes(problem.kind);
}

export function isCancelled(thrown: unknown): boolean {
  return (
    (thrown instanceof ConnectError && thrown.code === Code.Canceled) ||
    (thrown instanceof DOMException && thrown.name === "AbortError")
  );
}
