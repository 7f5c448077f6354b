import { QualityIssue } from "@gen/twin/face/v1/face_pb";
import { ExportedOriginal } from "@gen/twin/gateway/v1/gateway_pb";
import { deProblems } from "./deProblems";
import type { Strings } from "./en";
import { likenessOf, type Likeness } from "./likeness";
import { countOf, PERCENT_SIGN, percentOf, shareOf } from "./numbers";
import { saysOf } from "./problemWords";

const LANGUAGE = "de";
const faces = (count: number) => `${countOf(count, LANGUAGE)} ${count === 1 ? "Gesicht" : "Gesichter"}`;
const facesDative = (count: number) => `${countOf(count, LANGUAGE)} ${count === 1 ? "Gesicht" : "Gesichtern"}`;

const quality: Strings["quality"] = {
  [QualityIssue.TOO_SMALL]: "Das Gesicht ist klein im Bild; eine Aufnahme aus der Nähe sagt mehr.",
  [QualityIssue.BLURRED]: "Das Gesicht ist etwas unscharf.",
  [QualityIssue.TOO_DARK]: "Das Gesicht ist dunkel; mehr Licht hilft.",
  [QualityIssue.TOO_BRIGHT]: "Das Gesicht ist sehr hell; weicheres Licht hilft.",
  [QualityIssue.TURNED_AWAY]: "Das Gesicht ist abgewandt; ein Blick in die Kamera hilft.",
  [QualityIssue.LOW_CONFIDENCE]: "Vielleicht ist es gar kein Gesicht.",
};

const likeness: Record<Likeness, string> = {
  same: "Vielleicht dieselbe Person.",
  uncanny: "Verblüffend.",
  strong: "Eine starke Ähnlichkeit.",
  fair: "Eine gewisse Ähnlichkeit.",
  faint: "Eine leise Ähnlichkeit.",
  weak: "Kaum ähnlich.",
};

/** The page in German. */
export const de: Strings = {
  language: LANGUAGE,
  name: "Find Your Twin",
  skipToMain: "Zur Suche springen",
  home: "Find Your Twin, Startseite",
  places: "Orte dieser Seite",
  compareLink: "Zwei Fotos vergleichen",
  manageLink: "Foto löschen",
  galleryChoice: "Galerie",
  galleryCount: (count, name) => `${faces(count)} in ${name ? `„${name}“` : "der Galerie"}`,
  nextTry: (seconds) => `Nächster Versuch in ${seconds} s`,
  tryingNow: "Neuer Versuch",

  start: {
    title: "Wer sieht aus wie du?",
    lead: "Gib ein Gesicht. Sieh, wessen ihm am nächsten kommt.",
    choose: "Foto wählen",
    ways: "oder irgendwo hinziehen, oder einfügen",
    promise: "Mit deinem Foto wird gesucht, dann ist es vergessen, außer du willst es hier behalten.",
    already: "Ein Foto kannst du schon wählen: Gesucht wird, sobald der Dienst bereit ist.",
    dropHere: "Loslassen und suchen",
    zone: "Dein Foto",
    zoneAction: "Dein Foto: eins wählen, mit dem gesucht wird",
    zoneTwin: "Dein Zwilling",
  },

  camera: {
    open: "Kamera benutzen",
    title: "Die Kamera",
    picture: "Was die Kamera sieht",
    starting: "Der Browser fragt, ob diese Seite die Kamera benutzen darf",
    hint: "Schau gerade in die Kamera, die Augen auf Höhe der beiden Marken",
    shoot: "Foto machen",
    problems: {
      denied: {
        title: "Diese Seite darf die Kamera nicht benutzen",
        advice: "Erlaube es im Browser neben der Adresse und öffne die Kamera noch einmal. Oder wähle ein Foto.",
      },
      none: {
        title: "Keine Kamera gefunden",
        advice: "Schließ eine an und öffne sie noch einmal. Oder wähle ein Foto.",
      },
      busy: {
        title: "Die Kamera ist in Gebrauch",
        advice: "Schließ das andere Programm und öffne sie noch einmal. Oder wähle ein Foto.",
      },
      failed: { title: "Die Kamera geht hier nicht", advice: "Wähle stattdessen ein Foto." },
    },
  },

  search: {
    reading: "Dein Foto wird gelesen",
    searching: (count) =>
      count === undefined
        ? "Dein Zwilling wird gesucht"
        : `${faces(count)} ${count === 1 ? "wird" : "werden"} verglichen`,
    cancel: "Abbrechen",
    again: "Noch einmal",
    now: "Jetzt versuchen",
    another: "Anderes Foto",
    home: "Zurück zu meinem Foto",
    photo: (borrowed) => (borrowed ? "Das Foto aus der Galerie" : "Dein Foto"),
    found: (count) => (count === 1 ? "Ein Gesicht im Foto" : `${faces(count)} im Foto`),
    chooseAnother: "Wähle ein anderes Gesicht, um dessen Zwilling zu sehen.",
    announce: (percent, person) =>
      `Gefunden: ${person || "das nächste Gesicht"}, ${percentOf(percent)} Prozent ähnlich.`,
    announceNone: "Kein anderes Gesicht zum Vergleichen.",
    picturesMissing: "Manche Bilder sind nicht mehr zu haben.",
    refresh: "Noch einmal suchen",
  },

  face: {
    name: (place, count) => (count === 1 ? "Das Gesicht im Foto" : `Gesicht ${place} von ${count}`),
    searched: (borrowed) => (borrowed ? "Das Gesicht, mit dem gesucht wird" : "Dein Gesicht, aus deinem Foto"),
    twin: (person) => (person ? `${person}, dein Zwilling` : "Dein Zwilling in der Galerie"),
    unnamed: "Name unbekannt",
  },

  verdict: {
    heading: (person) => person || "Jemand ohne Namen",
    percent: percentOf,
    alike: "ähnlich",
    words: (exact, mode) => {
      if (mode === "same-person") return "Sehr wahrscheinlich dieselbe Person.";
      const level = likenessOf(exact);
      return level === "weak" ? "Am nächsten hier, aber nicht nah." : likeness[level];
    },
    share: (percentile, count) => {
      const share = shareOf(percentile, LANGUAGE);
      return count === undefined ? `Näher als ${share} der Galerie` : `Näher als ${share} von ${facesDative(count)}`;
    },
    open: "Das ganze Foto",
    nobody: (mode, onlyYou) => {
      if (mode === "same-person") {
        return {
          title: "Nicht in dieser Galerie",
          advice: "Kein Foto hier zeigt wohl dieselbe Person. Doppelgänger sind andere Leute, die nahe kommen.",
        };
      }
      if (onlyYou) {
        return {
          title: "Bisher nur du",
          advice: "Die Galerie enthält deine eigenen Fotos und sonst niemanden, der dein Zwilling sein könnte.",
        };
      }
      return {
        title: "Noch niemand sonst",
        advice: "Die Galerie enthält kein anderes Gesicht. Behalte dein Foto hier, dann findet der Nächste eines.",
      };
    },
  },

  modes: {
    title: "Wer gesucht wird",
    lookalike: "Doppelgänger",
    "same-person": "Selbe Person",
    nearest: "Nächste",
  },

  least: {
    name: "Wie ähnlich die anderen sein müssen",
    value: (percent) => (percent === 0 ? "Wie ähnlich auch immer" : `Mindestens ${percent}${PERCENT_SIGN}`),
    shown: (shown, count) =>
      shown === count ? `Alle ${countOf(count, LANGUAGE)} anderen` : `${shown} von ${countOf(count, LANGUAGE)} anderen`,
  },

  pair: {
    title: "Wie die beiden Gesichter gezeigt werden",
    beside: { name: "Nebeneinander" },
    slide: {
      name: "Schieben",
      range: "Wo das eine Gesicht endet und das andere beginnt",
      value: (percent) => `${percent} Prozent vom linken Gesicht, ${100 - percent} vom rechten`,
    },
    fade: {
      name: "Blenden",
      range: "Vom linken Gesicht zum rechten",
      value: (percent) => `${100 - percent} Prozent vom linken Gesicht, ${percent} vom rechten`,
    },
  },

  compare: {
    title: "Wie ähnlich sind sie?",
    lead: (missing) => {
      if (missing === 2) return "Zwei Fotos, ein Urteil.";
      return missing === 1 ? "Noch ein Foto, dann weißt du es." : "Die Gesichter werden gesucht.";
    },
    promise: "Beide Fotos werden verglichen, dann sind sie vergessen.",
    dropHere: "Loslassen und vergleichen",
    sides: {
      0: { name: "Erstes Foto", choose: "Das erste Foto wählen", change: "Das erste Foto wechseln" },
      1: { name: "Zweites Foto", choose: "Das zweite Foto wählen", change: "Das zweite Foto wechseln" },
    },
    faces: (photo, count) => `${photo}: ${faces(count)}. Wähle das, das verglichen wird.`,
    comparing: "Die Gesichter werden verglichen",
    ways: "Wählen, irgendwo hinziehen, oder einfügen",
    words: (exact, samePerson) => (samePerson ? "Sehr wahrscheinlich dieselbe Person." : likeness[likenessOf(exact)]),
    same: "Eine Person, so scheint es",
    different: "Zwei Leute",
    truth: "Ein Netz misst das. Zwillinge, Eltern und Kinder können als eine Person gelten, und eine Person als zwei.",
    afresh: "Von vorn",
    announce: (percent, samePerson) =>
      `${percentOf(percent)} Prozent ähnlich. ${samePerson ? "Eine Person, so scheint es." : "Zwei Leute."}`,
  },

  others: {
    title: (mode) => (mode === "same-person" ? "Weitere Fotos, wohl von dieser Person" : "Die Nächsten"),
    none: "So ähnlich ist niemand von den anderen.",
    photos: (count) => `${count} Fotos`,
    more: "Mehr zeigen",
    asking: "Mehr werden gesucht",
    percent: (percent) => percentOf(percent) + PERCENT_SIGN,
  },

  everyone: {
    ask: "Alle Zwillinge finden",
    asking: "Alle Zwillinge werden gesucht",
    title: "Alle und ihr Zwilling",
    nobody: "Kein Zwilling",
  },

  yourself: {
    title: "Fotos, die wohl dich zeigen",
    samePerson: "Fotos, die wohl dieselbe Person zeigen",
    lead: "Zu ähnlich für einen Zwilling, darum stehen sie für sich.",
  },

  quality,

  keep: {
    title: "Mein Foto behalten",
    lead: "Lass andere in dir ihren Zwilling finden. Du bekommst einen Beleg, der es jederzeit löscht.",
    open: "Mein Foto hier behalten",
    loading: "Geladen wird, wozu du zustimmen würdest",
    terms: "Wozu du zustimmen würdest",
    howLong: "Wie lange",
    period: (period) => (period === "forever" ? "Bis ich es lösche" : period === 30 ? "30 Tage" : "Ein Jahr"),
    agree: "Ich habe das gelesen und stimme zu",
    confirm: "Behalten",
    saving: "Dein Foto wird behalten",
    cancel: "Nicht jetzt",
    again: "Noch einmal",
    notKept: "Dein Foto wurde nicht behalten",
    notKeptPhoto: (name) => `Es war ${name}. Such noch einmal damit, um es neu zu versuchen.`,
    close: "Schließen",
    policy: (version) => `Fassung ${version}`,
  },

  receipt: {
    title: "Behalten. Das ist dein Beleg",
    lead: "Der Schlüssel wird nur dieses eine Mal gezeigt. Wer ihn hat, kann das Foto löschen: Sichere ihn jetzt.",
    photo: "Foto",
    id: "Kennung des Fotos",
    token: "Schlüssel zum Löschen",
    copy: (what) => `${what} kopieren`,
    copyShort: "Kopieren",
    copied: "Kopiert",
    copyFailed: "Kopieren ging nicht. Markiere stattdessen den Text.",
    download: "Beleg sichern",
    fileName: "find-your-twin-beleg.txt",
    file: (name, id, token, address) =>
      `Find Your Twin: Beleg für ein behaltenes Foto\n\nFoto: ${name}\nKennung des Fotos: ${id}\nSchlüssel zum Löschen: ${token}\n\nDas Foto löschen: ${address}\n`,
    done: "Ich habe ihn gesichert",
  },

  manage: {
    title: "Foto löschen",
    lead: "Mit Kennung und Schlüssel vom Beleg lässt sich ein hier behaltenes Foto löschen, und alles dazu herunterladen.",
    export: "Alles dazu herunterladen",
    exporting: "Alles wird geholt",
    exported: (original) => {
      switch (original) {
        case ExportedOriginal.OUT_OF_REACH:
          return "Seine Gesichter und das, wozu zugestimmt wurde, liegen bei deinen Downloads. Das Foto selbst wird auch aufbewahrt, ist für diesen Dienst aber nicht erreichbar: Frag, wer ihn betreibt.";
        case ExportedOriginal.NOT_KEPT:
        case ExportedOriginal.GONE:
          return "Es liegt bei deinen Downloads: seine Gesichter und das, wozu zugestimmt wurde. Das Foto selbst wird hier nicht aufbewahrt.";
        default:
          return "Es liegt bei deinen Downloads: das Foto, seine Gesichter und das, wozu zugestimmt wurde.";
      }
    },
    id: "Kennung des Fotos",
    token: "Schlüssel zum Löschen",
    remove: "Dieses Foto löschen",
    removing: "Wird gelöscht",
    removed: "Gelöscht",
    removedAdvice: (count) =>
      `Das Foto mit ${facesDative(count)} ist aus der Galerie verschwunden, und das Original ist gelöscht.`,
    pending: "Aus der Galerie gelöscht",
    pendingAdvice: (count) =>
      `Nichts zeigt das Foto mit ${facesDative(count)} mehr. Das Original wird noch gelöscht; das wird wiederholt, bis es getan ist.`,
    another: "Noch ein Foto löschen",
    back: "Zurück zur Suche",
  },

  languages: "Sprache",
  footer: "Ein mit Gesichtern trainiertes Netz misst die Ähnlichkeit. Es sagt, wer sich ähnelt, nie, wer wer ist.",

  viewer: {
    close: "Schließen",
    twins: "Zwillinge dieses Gesichts finden",
    photos: "Fotos dieser Person",
    place: (place, count) => `Foto ${place} von ${count}`,
    photoOf: (person) => (person ? `Das Foto von ${person}` : "Das Foto"),
  },

  ...saysOf(deProblems),
};
