import { QualityIssue } from "@gen/twin/face/v1/face_pb";
import type { ProblemWords } from "./problemWords";

/** What the page says of problems, in English. */
export const enProblems: ProblemWords = {
  language: "en",
  unread: (format) => `${format} pictures cannot be read`,
  sizeThatFits: (size) => `Photos of up to ${size} work.`,
  tooPoor: {
    [QualityIssue.TOO_SMALL]: "It is too small in the photo: take one from closer.",
    [QualityIssue.BLURRED]: "It is too blurred: hold the camera still, and let it focus.",
    [QualityIssue.TOO_DARK]: "It is too dark: find more light.",
    [QualityIssue.TOO_BRIGHT]: "It is too bright: find softer light.",
    [QualityIssue.TURNED_AWAY]: "It is turned too far away: look towards the camera.",
    [QualityIssue.LOW_CONFIDENCE]: "It may not be a face at all.",
  },
  problems: {
    "no-face": {
      title: "No face in this photo",
      advice: "Try one where the face is lit, in focus and looking towards the camera.",
    },
    "low-quality": {
      title: "This face cannot be told apart from others",
      advice: "Kept like this, it would be found for the wrong people. Try another photo.",
    },
    unreadable: {
      title: "This photo cannot be read",
      advice: "The file may be damaged or cut short. Try another copy, or save it again as a JPEG.",
    },
    "too-large": {
      title: "This photo is too large",
      advice: "Crop it around the face, or save it smaller, and try again.",
    },
    heic: {
      title: "This browser cannot open HEIC photos",
      advice: "Save it as a JPEG first. On an iPhone: Settings, Camera, Formats, Most Compatible.",
    },
    "unread-format": {
      title: "This kind of picture cannot be read",
      advice: "JPEG, PNG and WebP photos work. Save it as one of these, and try again.",
    },
    "not-a-photo": {
      title: "This is not a photo",
      advice: "JPEG, PNG and WebP photos work.",
    },
    empty: {
      title: "This file is empty",
      advice: "It may not have finished downloading. Try another copy.",
    },
    "link-dropped": {
      title: "That was a link, not a photo",
      advice: "Save the picture to this device first, then drop the file. Addresses are never fetched for you.",
    },
    "face-gone": {
      title: "That face was not found again",
      advice: "Choose another face in the photo.",
    },
    "picture-gone": {
      title: "This photo can no longer be had",
      advice: "It may have been deleted, or this page was open for too long. Search again with your own photo.",
    },
    starting: {
      title: "The service is starting",
      advice: "Your photo is safe here on this page. It is searched as soon as the service is ready.",
    },
    degraded: {
      title: "Part of the service is away",
      advice: "Your photo is safe here on this page. It is searched as soon as that part is back.",
    },
    overloaded: {
      title: "Many people are searching just now",
      advice: "Your photo is next in a moment. You need not do anything.",
    },
    unreachable: {
      title: "The service does not answer",
      advice: "It may be restarting. This page keeps trying by itself.",
    },
    offline: {
      title: "You are offline",
      advice: "The search goes on by itself when your connection is back.",
    },
    duplicate: {
      title: "This photo is already in the gallery",
      advice: "The same file is kept only once. If you kept it earlier, the receipt you got then still removes it.",
    },
    "not-found": {
      title: "The gallery was not found",
      advice: "It may have been closed. Whoever runs this service can tell you more.",
    },
    "receipt-unknown": {
      title: "No photo has this id and token",
      advice: "Check that both were copied whole. A photo that was removed, or has run out, is not found either.",
    },
    consent: {
      title: "Your agreement did not arrive",
      advice: "Close this panel, open it again and tick the box once more.",
    },
    malformed: {
      title: "The service did not accept this",
      advice: "Load this page anew, and try again. If it happens again, tell whoever runs this service.",
    },
    "receipt-incomplete": {
      title: "Something here is not complete",
      advice: "Copy the id and the token whole from the receipt, with nothing before or after them.",
    },
    unexpected: {
      title: "Something went wrong",
      advice: "Try again. If it happens again, tell whoever runs this service.",
    },
  },
  settled: {
    starting: { title: "The service is starting", advice: "Try again in a moment." },
    degraded: { title: "Part of the service is away", advice: "Try again in a moment." },
    overloaded: { title: "The service is busy", advice: "Try again in a moment." },
    unreachable: { title: "The service does not answer", advice: "It may be restarting. Try again in a moment." },
    offline: { title: "You are offline", advice: "Try again when your connection is back." },
  },
};
