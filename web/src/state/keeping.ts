import { twinService } from "../api/client";
import { fetchConsentText, type ConsentText } from "../api/consent";
import { toProblem } from "../api/problem";
import { newToken, newUuid } from "./receiptNumbers";
import { countGallery } from "./gallery";
import { page } from "./page";
import { strings } from "../strings";
import type { Keep, KeepFor } from "./state";

const SECONDS_PER_DAY = 86_400;
const KEEP_TIMEOUT_MS = 30_000;

const show = (keep: Keep) => page.send({ type: "keep-changed", keep });

/** Opens the panel, with the consent text once it is here. */
export async function openKeepPanel(): Promise<void> {
  const opening: Keep = { phase: "open" };
  show(opening);
  // One that was closed meanwhile, and perhaps opened again, waits for its own answer.
  const wanted = () => page.get().keep === opening;
  try {
    const consent = await fetchConsentText(strings.language);
    if (wanted()) show({ phase: "open", consent });
  } catch (thrown) {
    if (wanted()) show({ phase: "open", problem: toProblem(thrown) });
  }
}

/** Fetches the consent text anew when the page has come to speak another language while it is shown. */
export function translateKeepPanel(): void {
  const { keep } = page.get();
  if (keep.phase === "open" && keep.consent?.language !== strings.language) void openKeepPanel();
}

export function closeKeepPanel(): void {
  show({ phase: "closed" });
}

/**
 * One id and one token for each photo and face in a gallery. Both are made here, so that asking again after a lost answer
 * cannot keep the photo twice, and the receipt is there whether or not the answer arrives.
 */
let attempt = { key: "", photoId: "", deletionToken: "" };

/** Keeps the photo and the chosen face, as agreed to. */
export async function keepPhoto(consent: ConsentText, keepFor: KeepFor): Promise<void> {
  const { search, galleryName } = page.get();
  if (search.phase !== "done") return;
  const { photo, chosen } = search;
  const key = `${galleryName} ${photo.url} ${chosen}`;
  if (attempt.key !== key) attempt = { key, photoId: newUuid(), deletionToken: newToken() };
  const { photoId, deletionToken } = attempt;

  show({ phase: "saving", consent });
  try {
    await twinService.addPhoto(
      {
        gallery: galleryName,
        image: photo.bytes,
        originalFilename: photo.name,
        faceIndex: chosen,
        photoId,
        deletionToken,
        consent: {
          policyVersion: consent.version,
          ...(keepFor !== "forever" && { timeToLive: { seconds: BigInt(keepFor * SECONDS_PER_DAY), nanos: 0 } }),
        },
      },
      { timeoutMs: KEEP_TIMEOUT_MS },
    );
    attempt = { key: "", photoId: "", deletionToken: "" };
    void countGallery();
    show({ phase: "kept", receipt: { photoName: photo.name, photoId, deletionToken } });
  } catch (thrown) {
    const problem = toProblem(thrown);
    const same = page.get().search === search;
    show(same ? { phase: "open", consent, problem } : { phase: "not-kept", photoName: photo.name, problem });
  }
}
