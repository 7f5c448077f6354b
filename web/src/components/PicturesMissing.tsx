import { searchAgain } from "../state/searching";
import { strings } from "../strings";

/** A way to get pictures back whose addresses have run out. */
export function PicturesMissing() {
  return (
    <p class="aside pictures-missing">
      {strings.search.picturesMissing}{" "}
      <button type="button" class="text-button" onClick={() => void searchAgain()}>
        {strings.search.refresh}
      </button>
    </p>
  );
}
