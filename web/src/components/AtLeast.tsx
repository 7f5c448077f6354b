import { page } from "../state/page";
import { strings } from "../strings";

interface Props {
  /** 0 to 99. */
  minPercent: number;
  /** How many of the others are shown, and how many there are. */
  shown: number;
  count: number;
}

/** How alike the others must be to be shown. */
export function AtLeast({ minPercent, shown, count }: Props) {
  const words = strings.least;
  return (
    <label class="least">
      <span class="least-words">{words.value(minPercent)}</span>
      <input
        type="range"
        class="range"
        min={0}
        max={99}
        value={minPercent}
        aria-label={words.name}
        aria-valuetext={words.value(minPercent)}
        onInput={({ currentTarget }) => page.send({ type: "minimum-changed", minPercent: currentTarget.valueAsNumber })}
      />
      <output class="aside">{words.shown(shown, count)}</output>
    </label>
  );
}
