import { useEffect, useRef } from "preact/hooks";
import type { Gallery, Search } from "../state/state";
import { QueryFrame } from "./QueryFrame";
import { Progress } from "./Progress";
import { Trouble } from "./Trouble";
import { TwinFrame } from "./TwinFrame";
import { Verdict } from "./Verdict";
import { Welcome } from "./Welcome";

/** Two faces side by side with their eyes level, and the words about them. Empty frames wait where the faces will be. */
export function Stage({ search, gallery }: { search: Search; gallery: Gallery | undefined }) {
  const words = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // What had the focus may be gone with the phase before; the reader goes on at the new words.
    if (search.phase !== "idle" && document.activeElement === document.body) words.current?.focus();
  }, [search.phase]);
  return (
    <section class={`stage stage-${search.phase}`}>
      <div class="pair">
        <QueryFrame search={search} />
        <TwinFrame search={search} />
      </div>
      <div class="words" ref={words} tabIndex={-1}>
        <Words search={search} gallery={gallery} />
      </div>
    </section>
  );
}

function Words({ search, gallery }: { search: Search; gallery: Gallery | undefined }) {
  switch (search.phase) {
    case "idle":
      return <Welcome />;
    case "reading":
    case "searching":
      return <Progress search={search} gallery={gallery} />;
    case "failed":
      return <Trouble search={search} />;
    case "done":
      return <Verdict result={search.result} gallery={gallery} />;
  }
}
