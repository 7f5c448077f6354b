import { useEffect, useRef } from "preact/hooks";
import type { Problem as ProblemState } from "../api/problem";
import { strings } from "../strings";

interface Props {
  problem: ProblemState;
  /** True for an answer to what the visitor has just done here: it is brought into view. */
  reveal?: boolean;
}

/** A problem inside a panel: what it is, and what to do. */
export function Problem({ problem, reveal = false }: Props) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (reveal) box.current?.scrollIntoView({ block: "nearest" });
  }, [problem, reveal]);
  const { title, advice } = strings.problem(problem);
  return (
    <div class="problem" role="alert" ref={box}>
      <p class="problem-title">{title}</p>
      <p>{advice}</p>
      {problem.detail && <p class="aside detail">{problem.detail}</p>}
    </div>
  );
}
