import type { QualityIssue } from "@gen/twin/face/v1/face_pb";
import type { Problem, ProblemKind } from "../api/problem";
import { sizeOf } from "./numbers";

/** What a problem is, and what to do. */
export interface Words {
  title: string;
  advice: string;
}

/** What one language has to say of problems. */
export interface ProblemWords {
  language: string;
  problems: Readonly<Record<ProblemKind, Words>>;
  /** The same, where nothing tries again by itself: in a panel, or once a search has waited long enough. */
  settled: Readonly<Partial<Record<ProblemKind, Words>>>;
  /** What is wrong with a face that is too poor to be kept. */
  tooPoor: Readonly<Partial<Record<QualityIssue, string>>>;
  /** The title for a kind of picture that is not read, such as "GIF". */
  unread: (format: string) => string;
  /** The size that photos may have, such as "20 MiB". */
  sizeThatFits: (size: string) => string;
}

/** Says what is known of a problem with this file, in one language. */
export function saysOf({ language, problems, settled, tooPoor, unread, sizeThatFits }: ProblemWords) {
  const wordsFor = ({ kind, format, limit, issues }: Problem): Words => {
    const { title, advice } = problems[kind];
    if (format) return { title: unread(format.toUpperCase()), advice };
    if (limit) return { title, advice: `${sizeThatFits(sizeOf(limit, language))} ${advice}` };
    if (issues) return { title, advice: [...issues.flatMap((issue) => tooPoor[issue] ?? []), advice].join(" ") };
    return { title, advice };
  };
  return {
    /** For a problem that is being waited out. */
    waiting: wordsFor,
    /** For a problem that is left to the visitor. */
    problem: (problem: Problem): Words => settled[problem.kind] ?? wordsFor(problem),
  };
}
