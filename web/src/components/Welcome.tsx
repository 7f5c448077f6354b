import { strings } from "../strings";
import { ChoosePhoto } from "./ChoosePhoto";
import { UseCamera } from "./UseCamera";

/** What the page is for, before there is a photo. */
export function Welcome() {
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
    </>
  );
}
