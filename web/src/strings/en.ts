import { QualityIssue } from "@gen/twin/face/v1/face_pb";
import { ExportedOriginal } from "@gen/twin/gateway/v1/gateway_pb";
import type { CameraProblem } from "../photo/camera";
import type { KeepFor } from "../state/state";
import type { Mode } from "../state/wish";
import { enProblems } from "./enProblems";
import { likenessOf, type Likeness } from "./likeness";
import { countOf, PERCENT_SIGN, percentOf, shareOf } from "./numbers";
import { saysOf, type Words } from "./problemWords";
import type { Worded } from "./worded";

const LANGUAGE = "en";
const faces = (count: number) => `${countOf(count, LANGUAGE)} ${count === 1 ? "face" : "faces"}`;

/** What would make a face easier to compare. */
const quality: Partial<Record<QualityIssue, string>> = {
  [QualityIssue.TOO_SMALL]: "The face is small in the photo; one taken from closer tells more.",
  [QualityIssue.BLURRED]: "The face is a little blurred.",
  [QualityIssue.TOO_DARK]: "The face is dark; more light helps.",
  [QualityIssue.TOO_BRIGHT]: "The face is very bright; softer light helps.",
  [QualityIssue.TURNED_AWAY]: "The face is turned away; looking at the camera helps.",
  [QualityIssue.LOW_CONFIDENCE]: "It may not be a face at all.",
};

const likeness: Record<Likeness, string> = {
  same: "Perhaps the same person.",
  uncanny: "Uncanny.",
  strong: "A strong likeness.",
  fair: "A fair likeness.",
  faint: "A faint likeness.",
  weak: "Hardly alike.",
};

/** Instead of a twin. */
const nobodyYet = {
  title: "Nobody else yet",
  advice: "The gallery holds no other face to compare with. Keep your photo, and the next visitor has one.",
};
const onlyYouSoFar = {
  title: "Only you so far",
  advice: "The gallery holds your own photos, and nobody else who could be your twin.",
};
const samePersonNowhere = {
  title: "Not in this gallery",
  advice: "No photo here looks to be of the same person. Look-alikes are other people who come close.",
};

/** The page in English. Another language is another file of this shape. */
export const en = {
  language: LANGUAGE,
  name: "Find Your Twin",
  skipToMain: "Skip to the search",
  home: "Find Your Twin, start page",
  places: "Places of this page",
  compareLink: "Compare two photos",
  manageLink: "Remove a photo",
  galleryChoice: "Gallery",
  galleryCount: (count: number, name: string) => `${faces(count)} in ${name ? `“${name}”` : "the gallery"}`,
  nextTry: (seconds: number) => `Next try in ${seconds} s`,
  tryingNow: "Trying now",

  start: {
    title: "Who looks like you?",
    lead: "Give it a face. See whose comes closest.",
    choose: "Choose a photo",
    ways: "or drop one anywhere, or paste it",
    promise: "Your photo is searched with, then forgotten, unless you choose to keep it here.",
    already: "You can choose a photo already: it is searched as soon as the service is ready.",
    dropHere: "Drop to search",
    zone: "Your photo",
    zoneAction: "Your photo: choose one to search with",
    zoneTwin: "Your twin",
  },

  camera: {
    open: "Use the camera",
    title: "The camera",
    picture: "What the camera sees",
    starting: "The browser asks whether this page may use the camera",
    hint: "Look straight at the camera, your eyes level with the two marks",
    shoot: "Take the photo",
    problems: {
      denied: {
        title: "This page may not use the camera",
        advice: "Allow it in the browser, beside the address, and open the camera again. Or choose a photo instead.",
      },
      none: { title: "No camera was found", advice: "Connect one and open it again. Or choose a photo instead." },
      busy: {
        title: "The camera is in use",
        advice: "Close the other program that uses it, and open it again. Or choose a photo instead.",
      },
      failed: { title: "The camera cannot be used here", advice: "Choose a photo instead." },
    } satisfies Record<CameraProblem, Words>,
  },

  search: {
    reading: "Reading your photo",
    searching: (count: number | undefined) =>
      count === undefined ? "Looking for your twin" : `Looking through ${faces(count)}`,
    cancel: "Cancel",
    again: "Try again",
    now: "Try now",
    another: "Try another photo",
    home: "Back to my photo",
    photo: (borrowed: boolean) => (borrowed ? "The photo from the gallery" : "Your photo"),
    found: (count: number) => (count === 1 ? "One face in the photo" : `${faces(count)} in the photo`),
    chooseAnother: "Choose another face to see its twin.",
    announce: (percent: number, person: string) =>
      `Found: ${person || "the closest face"}, ${percentOf(percent)} percent alike.`,
    announceNone: "No other face to compare with.",
    picturesMissing: "Some pictures can no longer be shown.",
    refresh: "Search again",
  },

  face: {
    name: (place: number, count: number) => (count === 1 ? "The face in the photo" : `Face ${place} of ${count}`),
    searched: (borrowed: boolean) => (borrowed ? "The face that is searched with" : "Your face, from your photo"),
    twin: (person: string) => (person ? `${person}, your twin` : "Your twin in the gallery"),
    unnamed: "No name known",
  },

  verdict: {
    heading: (person: string) => person || "Someone without a name",
    percent: (percent: number) => percentOf(percent),
    alike: "alike",
    words: (exact: number, mode: Mode) => {
      if (mode === "same-person") return "Most likely the same person.";
      const level = likenessOf(exact);
      return level === "weak" ? "The closest here, though not close." : likeness[level];
    },
    share: (percentile: number, count: number | undefined) => {
      const share = shareOf(percentile, LANGUAGE);
      return count === undefined ? `Closer than ${share} of the gallery` : `Closer than ${share} of ${faces(count)}`;
    },
    open: "See the whole photo",
    nobody: (mode: Mode, onlyYou: boolean) => {
      if (mode === "same-person") return samePersonNowhere;
      return onlyYou ? onlyYouSoFar : nobodyYet;
    },
  },

  modes: { title: "Who is looked for", lookalike: "Look-alikes", "same-person": "Same person", nearest: "Nearest" },

  least: {
    name: "How alike the others must be",
    value: (percent: number) => (percent === 0 ? "However alike" : `At least ${percent}${PERCENT_SIGN} alike`),
    shown: (shown: number, count: number) =>
      shown === count ? `All ${countOf(count, LANGUAGE)} others` : `${shown} of ${countOf(count, LANGUAGE)} others`,
  },

  pair: {
    title: "How the two faces are shown",
    beside: { name: "Side by side" },
    slide: {
      name: "Slide",
      range: "Where the one face ends and the other begins",
      value: (percent: number) => `${percent} percent of the left face, ${100 - percent} of the right`,
    },
    fade: {
      name: "Fade",
      range: "From the left face to the right",
      value: (percent: number) => `${100 - percent} percent of the left face, ${percent} of the right`,
    },
  },

  compare: {
    title: "How alike are they?",
    lead: (missing: number) =>
      missing === 2
        ? "Two photos, one verdict."
        : missing === 1
          ? "One more photo, then you know."
          : "Finding the faces.",
    promise: "Both photos are compared, then forgotten.",
    dropHere: "Drop to compare",
    sides: {
      0: { name: "First photo", choose: "Choose the first photo", change: "Change the first photo" },
      1: { name: "Second photo", choose: "Choose the second photo", change: "Change the second photo" },
    },
    faces: (photo: string, count: number) => `${photo}: ${faces(count)}. Choose the one to compare.`,
    comparing: "Comparing the two faces",
    ways: "Choose them, drop them anywhere, or paste them",
    words: (exact: number, samePerson: boolean) =>
      samePerson ? "Most likely the same person." : likeness[likenessOf(exact)],
    same: "One person, it seems",
    different: "Two people",
    truth: "A network measures this. Twins, parents and children can come out as one person, and one person as two.",
    afresh: "Start over",
    announce: (percent: number, samePerson: boolean) =>
      `${percentOf(percent)} percent alike. ${samePerson ? "One person, it seems." : "Two people."}`,
  },

  others: {
    title: (mode: Mode) => (mode === "same-person" ? "More photos that look to be of this person" : "The next closest"),
    none: "None of the others is as alike as that.",
    photos: (count: number) => `${count} photos`,
    more: "Show more",
    asking: "Looking for more",
    percent: (percent: number) => percentOf(percent) + PERCENT_SIGN,
  },

  everyone: {
    ask: "Find everyone's twin",
    asking: "Looking for everyone's twin",
    title: "Everyone and their twin",
    nobody: "No twin found",
  },

  yourself: {
    title: "Photos that look to be of you",
    samePerson: "Photos that look to be of the same person",
    lead: "Too alike for a twin, so they are kept apart.",
  },

  quality,

  keep: {
    title: "Keep my photo",
    lead: "Let others find their twin in you. You get a receipt that removes it at any time.",
    open: "Keep my photo here",
    loading: "Fetching what you would agree to",
    terms: "What you would agree to",
    howLong: "For how long",
    period: (period: KeepFor) => (period === "forever" ? "Until I delete it" : period === 30 ? "30 days" : "One year"),
    agree: "I have read this and agree",
    confirm: "Keep it",
    saving: "Keeping your photo",
    cancel: "Not now",
    again: "Try again",
    notKept: "Your photo was not kept",
    notKeptPhoto: (name: string) => `It was ${name}. To try again, search with it once more.`,
    close: "Close",
    policy: (version: string) => `Version ${version}`,
  },

  receipt: {
    title: "Kept. This is your receipt",
    lead: "The token is shown this once. Whoever holds it can remove the photo, so save it now.",
    photo: "Photo",
    id: "Photo id",
    token: "Deletion token",
    copy: (what: string) => `Copy ${what.toLowerCase()}`,
    copyShort: "Copy",
    copied: "Copied",
    copyFailed: "Could not copy. Select the text instead.",
    download: "Download receipt",
    fileName: "find-your-twin-receipt.txt",
    file: (name: string, id: string, token: string, address: string) =>
      `Find Your Twin: receipt for a kept photo\n\nPhoto: ${name}\nPhoto id: ${id}\nDeletion token: ${token}\n\nRemove the photo at ${address}\n`,
    done: "I have saved it",
  },

  manage: {
    title: "Remove a photo",
    lead: "With the id and the token on its receipt, a photo that was kept here can be removed, and all that is held about it downloaded.",
    export: "Download what is held",
    exporting: "Fetching all of it",
    exported: (original: ExportedOriginal) => {
      switch (original) {
        case ExportedOriginal.OUT_OF_REACH:
          return "Its faces and what was agreed to are among your downloads. The photo itself is held, too, but is out of this service's reach: ask whoever runs it.";
        case ExportedOriginal.NOT_KEPT:
        case ExportedOriginal.GONE:
          return "It is among your downloads: its faces and what was agreed to. The photo itself is not kept here.";
        default:
          return "It is among your downloads: the photo, its faces and what was agreed to.";
      }
    },
    id: "Photo id",
    token: "Deletion token",
    remove: "Remove this photo",
    removing: "Removing",
    removed: "Removed",
    removedAdvice: (count: number) =>
      `The photo, with ${faces(count)} in it, is gone from the gallery, and the original has been deleted.`,
    pending: "Removed from the gallery",
    pendingAdvice: (count: number) =>
      `Nothing shows the photo, with ${faces(count)} in it, any more. The original file is still being deleted, and that is retried until it is done.`,
    another: "Remove another photo",
    back: "Back to the search",
  },

  languages: "Language",
  footer: "A network trained on faces measures the likeness. It says who looks alike, never who is who.",

  viewer: {
    close: "Close",
    twins: "Find twins of this face",
    photos: "Photos of this person",
    place: (place: number, count: number) => `Photo ${place} of ${count}`,
    photoOf: (person: string) => (person ? `The photo of ${person}` : "The photo"),
  },

  ...saysOf(enProblems),
};

export type Strings = Worded<typeof en>;
