import { lookFor } from "../state/searching";
import { MODES, type Mode } from "../state/wish";
import { strings } from "../strings";
import { Segments } from "./Segments";

/** Who is looked for: others who look alike, the same person, or the nearest faces. */
export function LookFor({ mode }: { mode: Mode }) {
  return (
    <Segments
      legend={strings.modes.title}
      name="mode"
      options={MODES.map((one) => [one, strings.modes[one]] as const)}
      chosen={mode}
      choose={(one) => void lookFor(one)}
    />
  );
}
