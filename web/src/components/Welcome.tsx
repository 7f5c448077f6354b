import type { Waiting } from "../state/state";
import { strings } from "../strings";
import { ChoosePhoto } from "./ChoosePhoto";
import { NextTry } from "./NextTry";
import { UseCamera } from "./UseCamera";

/** What the page is for, before there is a photo. */
export function Welcome({ trouble }: { trouble: Waiting | undefined }) {
  const { start } = strings;
  return (
    <>
      <h1 class="display">{start.title}</h1>
      <p class="lead">{start.lead}</p>
      <div class="actions">
        <ChoosePhoto class="button button-main">{start.choose}</ChoosePhoto>
        <UseCamera />
      </div>
      <p class="aside ways">{start.ways}</p>
      <p class="aside promise">{start.promise}</p>
      {trouble && (
        <div class="problem">
          <p class="problem-title">{strings.problem(trouble.problem).title}</p>
          <p>{trouble.retryAt ? start.already : strings.problem(trouble.problem).advice}</p>
          {trouble.retryAt && <NextTry at={trouble.retryAt} />}
        </div>
      )}
    </>
  );
}
