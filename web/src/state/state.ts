import type { ConsentText } from "../api/consent";
import type { Problem } from "../api/problem";
import type { PreparedPhoto } from "../photo/prepare";
import type { Face } from "@gen/twin/face/v1/face_pb";
import type { ExportedOriginal, FaceResult, Twin } from "@gen/twin/gateway/v1/gateway_pb";
import { emptyComparison, type Comparison } from "./compare";
import type { Language } from "../strings/choice";
import type { Wish } from "./wish";

/** Everything that the page shows; events.ts is the only way it changes. */
export interface State {
  /** The visitor's choice; the words themselves are in strings. */
  language: Language | undefined;
  /** The gallery that the address names; "" for the gateway's own choice. */
  galleryName: string;
  gallery: Gallery | undefined;
  /** What visitors are shown to choose from. */
  galleries: readonly ListedGallery[];
  /** What is wrong with the service, before there is a photo to search with. */
  trouble: Waiting | undefined;
  wish: Wish;
  search: Search;
  /** The result of the visitor's own photo, while one out of the gallery is searched with. */
  home: Done | undefined;
  keep: Keep;
  comparison: Comparison;
  removal: Removal;
  /** The match whose whole photo is open. */
  viewing: Twin | undefined;
  /** A picture of the result could not be had: its address runs out after a while. */
  picturesMissing: boolean;
}

export interface Gallery {
  faceCount: number;
}

export interface ListedGallery extends Gallery {
  name: string;
}

/** A problem that passes by itself, and when the page asks again, on the clock of Date.now(), ms; it does not without. */
export interface Waiting {
  problem: Problem;
  retryAt?: number;
}

/** The faces of the photo, and the size of the photo that their boxes are in, px. */
export interface FoundFaces {
  faces: readonly Face[];
  width: number;
  height: number;
}

export type Done = Extract<Search, { phase: "done" }>;

export type Search =
  | { phase: "idle" }
  | { phase: "reading"; borrowed: boolean }
  /** `found` is known when another face of the same photo is being searched; `waiting` says why it takes longer. */
  | { phase: "searching"; photo: PreparedPhoto; chosen: number | undefined; found?: FoundFaces; waiting?: Waiting }
  /** `limit` is how many matches were asked for; `everyone` has a result for each face, once that was asked for. */
  | {
      phase: "done";
      photo: PreparedPhoto;
      chosen: number;
      found: FoundFaces;
      result: FaceResult;
      limit: number;
      everyone?: readonly FaceResult[];
    }
  | { phase: "failed"; problem: Problem; photo?: PreparedPhoto; chosen?: number; found?: FoundFaces };

/** How long a kept photo stays, days; forever means until its owner deletes it. */
export type KeepFor = 30 | 365 | "forever";

export interface Receipt {
  photoName: string;
  photoId: string;
  deletionToken: string;
}

export type Keep =
  | { phase: "closed" }
  | { phase: "open"; consent?: ConsentText; problem?: Problem }
  | { phase: "saving"; consent: ConsentText }
  | { phase: "kept"; receipt: Receipt }
  /** It failed after its owner went on to another face or photo. */
  | { phase: "not-kept"; photoName: string; problem: Problem };

export type Removal =
  | { phase: "idle" }
  | { phase: "removing" }
  | { phase: "exporting" }
  | { phase: "exported"; original: ExportedOriginal }
  | { phase: "removed"; faceCount: number; originalRemoved: boolean }
  | { phase: "failed"; problem: Problem };

export const initialState: State = {
  language: undefined,
  galleryName: "",
  gallery: undefined,
  galleries: [],
  trouble: undefined,
  wish: { mode: "lookalike", minPercent: 0 },
  search: { phase: "idle" },
  home: undefined,
  keep: { phase: "closed" },
  comparison: emptyComparison,
  removal: { phase: "idle" },
  viewing: undefined,
  picturesMissing: false,
};
