import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { strings } from "../strings";
import { Segments } from "./Segments";

/** Side by side; one over the other with an edge that moves; or the one fading into the other. */
type PairView = "beside" | "slide" | "fade";

interface Props {
  /** Both faces are there, so that one can be laid over the other. */
  complete: boolean;
  /** Two frames; the second is laid over the first. */
  children: ComponentChildren;
  /** What stands beside the choice of how they are shown. */
  controls?: ComponentChildren;
}

const VIEWS: readonly PairView[] = ["beside", "slide", "fade"];
const HALF = 50;

/** Two faces with their eyes on one level, side by side or one over the other. */
export function FacePair({ complete, children, controls }: Props) {
  const [chosen, setChosen] = useState<PairView>("beside");
  /** Percent; half and half until the visitor moves it. */
  const [moved, setMoved] = useState<number>();
  const share = moved ?? HALF;
  const words = strings.pair;
  const view = complete ? chosen : "beside";
  const over = view !== "beside";
  const choose = (next: PairView) => {
    setMoved(undefined);
    setChosen(next);
  };
  return (
    <div class="faces">
      <div
        class={`pair pair-${view} ${complete ? "pair-complete" : ""} ${moved === undefined ? "pair-untouched" : ""}`}
        style={over ? { "--share": `${share}%` } : undefined}
      >
        {children}
        {over && (
          <>
            {view === "slide" && <Handle />}
            <input
              type="range"
              class="pair-range"
              min={0}
              max={100}
              value={share}
              aria-label={words[view].range}
              aria-valuetext={words[view].value(share)}
              onInput={({ currentTarget }) => setMoved(currentTarget.valueAsNumber)}
            />
          </>
        )}
      </div>
      {(complete || controls) && (
        <div class="faces-controls">
          {complete && (
            <Segments
              legend={words.title}
              name="pair-view"
              options={VIEWS.map((one) => [one, words[one].name] as const)}
              chosen={view}
              choose={choose}
            />
          )}
          {controls}
        </div>
      )}
    </div>
  );
}

function Handle() {
  return (
    <span class="pair-handle" aria-hidden="true">
      <svg viewBox="0 0 24 24" focusable="false">
        <path d="M9 7l-5 5 5 5M15 7l5 5-5 5" />
      </svg>
    </span>
  );
}
