import type { FaceResult } from "@gen/twin/gateway/v1/gateway_pb";
import { page } from "../state/page";
import type { Gallery } from "../state/state";
import type { Mode } from "../state/wish";
import { strings } from "../strings";
import { ChoosePhoto } from "./ChoosePhoto";
import { HomeButton } from "./HomeButton";
import { Percent } from "./Percent";

interface Props {
  result: FaceResult;
  gallery: Gallery | undefined;
  mode: Mode;
  canGoHome: boolean;
}

/** Who the twin is, how alike the two are, and what that means. */
export function Verdict({ result, gallery, mode, canGoHome }: Props) {
  const best = result.twins[0];
  const match = best?.match;
  if (!best || !match) {
    const { title, advice } = strings.verdict.nobody(mode, result.yourself.length > 0);
    return (
      <>
        <h1 class="heading">{title}</h1>
        <p class="lead">{advice}</p>
        <Actions canGoHome={canGoHome} />
      </>
    );
  }
  const { percent = 0, percentile = 0 } = match.similarity ?? {};
  const view = () => page.send({ type: "viewing-changed", viewing: best });
  return (
    <>
      <Percent percent={percent} />
      <h1 class="heading">{strings.verdict.heading(match.person)}</h1>
      <p class="lead">{strings.verdict.words(percent, mode)}</p>
      <p class="aside truth">{strings.verdict.share(percentile, gallery?.faceCount)}</p>
      <Actions canGoHome={canGoHome}>
        <button type="button" class="button button-quiet" onClick={view}>
          {strings.verdict.open}
        </button>
      </Actions>
    </>
  );
}

function Actions({ canGoHome, children }: { canGoHome: boolean; children?: preact.ComponentChildren }) {
  return (
    <div class="actions">
      {canGoHome && <HomeButton />}
      <ChoosePhoto class={canGoHome ? "button button-quiet" : "button button-main"}>
        {strings.search.another}
      </ChoosePhoto>
      {children}
    </div>
  );
}
