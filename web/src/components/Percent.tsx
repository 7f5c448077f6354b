import { strings } from "../strings";

/** How alike two faces are, 0 to 100, as large as it matters. */
export function Percent({ percent }: { percent: number }) {
  return (
    <p class="percent">
      <span class="percent-number">{strings.verdict.percent(percent)}</span>
      <span class="percent-unit">% {strings.verdict.alike}</span>
    </p>
  );
}
