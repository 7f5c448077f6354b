import { useEffect, useRef } from "preact/hooks";
import type { Gallery, Search, Waiting } from "../state/state";
import type { Mode } from "../state/wish";
import { FacePair } from "./FacePair";
import { QueryFrame } from "./QueryFrame";
import { LookFor } from "./LookFor";
import { PicturesMissing } from "./PicturesMissing";
import { Progress } from "./Progress";
import { Trouble } from "./Trouble";
import { TwinFrame } from "./TwinFrame";
import { Verdict } from "./Verdict";
import { useLostFocus } from "./useLostFocus";
import { Welcome } from "./Welcome";

interface Props {
  search: Search;
  gallery: Gallery | undefined;
  trouble: Waiting | undefined;
  mode: Mode;
  canGoHome: boolean;
  picturesMissing: boolean;
}

/** Two faces side by side with their eyes level, and the words about them. Empty frames wait where the faces will be. */
export function Stage(props: Props) {
  const { search, mode } = props;
  const stage = useRef<HTMLElement>(null);
  const words = useRef<HTMLDivElement>(null);
  useLostFocus(words, search);
  const chosen = "chosen" in search ? search.chosen : undefined;
  const before = useRef({ phase: search.phase, chosen });
  useEffect(() => {
    const { phase } = search;
    const another = before.current.phase === "done" && phase === "done" && before.current.chosen !== chosen;
    before.current = { phase, chosen };
    // A face is chosen further down, where its twin would not be seen.
    if ((phase === "searching" || another) && stage.current && stage.current.getBoundingClientRect().top < 0) {
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      stage.current.scrollIntoView({ behavior: still ? "auto" : "smooth" });
    }
  }, [search.phase, chosen]);
  return (
    <section class={`stage stage-${search.phase}`} ref={stage}>
      <FacePair
        complete={search.phase === "done" && search.result.twins.length > 0}
        controls={"found" in search && search.found && <LookFor mode={mode} />}
      >
        <QueryFrame search={search} />
        <TwinFrame search={search} />
      </FacePair>
      <div class="words" ref={words} tabIndex={-1}>
        <Words {...props} />
      </div>
    </section>
  );
}

function Words({ search, gallery, trouble, mode, canGoHome, picturesMissing }: Props) {
  switch (search.phase) {
    case "idle":
      return <Welcome trouble={trouble} />;
    case "reading":
    case "searching":
      return <Progress search={search} gallery={gallery} />;
    case "failed":
      return <Trouble search={search} canGoHome={canGoHome} />;
    case "done":
      return (
        <>
          <Verdict result={search.result} gallery={gallery} mode={mode} canGoHome={canGoHome} />
          {picturesMissing && <PicturesMissing />}
        </>
      );
  }
}
