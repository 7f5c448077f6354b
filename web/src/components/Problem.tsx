import type { Problem as ProblemState } from "../api/problem";
import { strings } from "../strings";

/** A problem inside a panel: what it is, and what to do. */
export function Problem({ problem }: { problem: ProblemState }) {
  const { title, advice } = strings.problem(problem);
  return (
    <div class="problem" role="alert">
      <p class="problem-title">{title}</p>
      <p>{advice}</p>
      {problem.kind === "unexpected" && problem.detail && <p class="aside detail">{problem.detail}</p>}
    </div>
  );
}
