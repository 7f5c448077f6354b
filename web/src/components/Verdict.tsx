import type { FaceResult } from "@gen/twin/gateway/v1/gateway_pb";
import { page } from "../state/page";
import type { Gallery } from "../state/state";
import { strings } from "../strings";
import { ChoosePhoto } from "./ChoosePhoto";

/** Who the twin is, how alike the two are, and what that means. */
export function Verdict({ result, gallery }: { result: FaceResult; gallery: Gallery | undefined }) {
  const best = result.twins[0];
  const match = best?.match;
  if (!best || !match) {
    const onlyYou = result.yourself.length > 0;
    return (
      <>
        <h1 class="heading">{onlyYou ? strings.verdict.onlyYou : strings.verdict.none}</h1>
        <p class="lead">{onlyYou ? strings.verdict.onlyYouAdvice : strings.verdict.noneAdvice}</p>
        <Actions />
      </>
    );
  }
  const { percent = 0, percentile = 0 } = match.similarity ?? {};
  const view = () => page.send({ type: "viewing-changed", viewing: best });
  return (
    <>
      <p class="percent">
        <span class="percent-number">{strings.verdict.percent(percent)}</span>
        <span class="percent-unit">% {strings.verdict.alike}</span>
      </p>
      <h1 class="heading">{strings.verdict.heading(match.person)}</h1>
      <p class="lead">{strings.verdict.words(percent)}</p>
      <p class="aside truth">{strings.verdict.share(percentile, gallery?.faceCount)}</p>
      <Actions>
        <button type="button" class="button button-quiet" onClick={view}>
          {strings.verdict.open}
        </button>
      </Actions>
    </>
  );
}

function Actions({ children }: { children?: preact.ComponentChildren }) {
  return (
    <div class="actions">
      <ChoosePhoto class="button button-main">{strings.search.another}</ChoosePhoto>
      {children}
    </div>
  );
}
