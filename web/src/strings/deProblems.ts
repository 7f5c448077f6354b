import { QualityIssue } from "@gen/twin/face/v1/face_pb";
import type { ProblemWords } from "./problemWords";

/** What the page says of problems, in German. */
export const deProblems: ProblemWords = {
  language: "de",
  unread: (format) => `${format}-Bilder sind nicht lesbar`,
  sizeThatFits: (size) => `Fotos bis ${size} gehen.`,
  tooPoor: {
    [QualityIssue.TOO_SMALL]: "Es ist zu klein im Bild: näher herangehen.",
    [QualityIssue.BLURRED]: "Es ist zu unscharf: die Kamera ruhig halten und scharf stellen lassen.",
    [QualityIssue.TOO_DARK]: "Es ist zu dunkel: mehr Licht suchen.",
    [QualityIssue.TOO_BRIGHT]: "Es ist zu hell: weicheres Licht suchen.",
    [QualityIssue.TURNED_AWAY]: "Es ist zu weit abgewandt: zur Kamera schauen.",
    [QualityIssue.LOW_CONFIDENCE]: "Vielleicht ist es gar kein Gesicht.",
  },
  problems: {
    "no-face": {
      title: "Kein Gesicht in diesem Foto",
      advice: "Versuch es mit einem, auf dem das Gesicht hell und scharf ist und zur Kamera schaut.",
    },
    "low-quality": {
      title: "Dieses Gesicht ist von anderen nicht zu unterscheiden",
      advice: "So behalten, würde es für die falschen Leute gefunden. Versuch es mit einem anderen Foto.",
    },
    unreadable: {
      title: "Dieses Foto ist nicht lesbar",
      advice:
        "Die Datei ist wohl beschädigt oder abgeschnitten. Versuch eine andere Kopie, oder speichere sie neu als JPEG.",
    },
    "too-large": {
      title: "Dieses Foto ist zu groß",
      advice: "Schneide es um das Gesicht herum zu, oder speichere es kleiner, und versuch es noch einmal.",
    },
    heic: {
      title: "Dieser Browser öffnet keine HEIC-Fotos",
      advice: "Speichere es zuerst als JPEG. Auf dem iPhone: Einstellungen, Kamera, Formate, Maximale Kompatibilität.",
    },
    "unread-format": {
      title: "Diese Art von Bild ist nicht lesbar",
      advice: "JPEG, PNG und WebP gehen. Speichere es in einer dieser Formen, und versuch es noch einmal.",
    },
    "not-a-photo": { title: "Das ist kein Foto", advice: "JPEG, PNG und WebP gehen." },
    empty: {
      title: "Diese Datei ist leer",
      advice: "Vielleicht wurde sie nicht fertig geladen. Versuch eine andere Kopie.",
    },
    "link-dropped": {
      title: "Das war eine Adresse, kein Foto",
      advice:
        "Speichere das Bild zuerst auf diesem Gerät und zieh dann die Datei her. Adressen werden nie für dich geladen.",
    },
    "face-gone": { title: "Dieses Gesicht wurde nicht wiedergefunden", advice: "Wähle ein anderes Gesicht im Foto." },
    "picture-gone": {
      title: "Dieses Foto ist nicht mehr zu haben",
      advice:
        "Vielleicht wurde es gelöscht, oder diese Seite war zu lange offen. Such noch einmal mit deinem eigenen Foto.",
    },
    starting: {
      title: "Der Dienst startet gerade",
      advice: "Dein Foto ist hier auf der Seite sicher. Gesucht wird, sobald der Dienst bereit ist.",
    },
    degraded: {
      title: "Ein Teil des Dienstes fehlt gerade",
      advice: "Dein Foto ist hier auf der Seite sicher. Gesucht wird, sobald der Teil wieder da ist.",
    },
    overloaded: {
      title: "Gerade suchen viele Leute",
      advice: "Dein Foto ist gleich dran. Du musst nichts tun.",
    },
    unreachable: {
      title: "Der Dienst antwortet nicht",
      advice: "Vielleicht startet er neu. Diese Seite versucht es von selbst weiter.",
    },
    offline: {
      title: "Du bist offline",
      advice: "Die Suche geht von selbst weiter, sobald die Verbindung wieder da ist.",
    },
    duplicate: {
      title: "Dieses Foto ist schon in der Galerie",
      advice:
        "Dieselbe Datei wird nur einmal behalten. Hast du sie früher behalten, löscht dein Beleg von damals sie weiterhin.",
    },
    "not-found": {
      title: "Die Galerie wurde nicht gefunden",
      advice: "Vielleicht wurde sie geschlossen. Wer diesen Dienst betreibt, weiß mehr.",
    },
    "receipt-unknown": {
      title: "Kein Foto hat diese Kennung und diesen Schlüssel",
      advice: "Sieh nach, ob beide ganz kopiert sind. Auch ein gelöschtes oder abgelaufenes Foto wird nicht gefunden.",
    },
    consent: {
      title: "Deine Zustimmung kam nicht an",
      advice: "Schließ diesen Teil, öffne ihn wieder und setz den Haken noch einmal.",
    },
    malformed: {
      title: "Der Dienst hat das nicht angenommen",
      advice: "Lade die Seite neu und versuch es noch einmal. Hilft das nicht, sag es dem Betreiber.",
    },
    "receipt-incomplete": {
      title: "Hier fehlt etwas",
      advice: "Kopiere Kennung und Schlüssel ganz vom Beleg, ohne etwas davor oder danach.",
    },
    unexpected: {
      title: "Etwas ist schiefgegangen",
      advice: "Versuch es noch einmal. Hilft das nicht, sag es dem Betreiber.",
    },
  },
  settled: {
    starting: { title: "Der Dienst startet gerade", advice: "Versuch es gleich noch einmal." },
    degraded: { title: "Ein Teil des Dienstes fehlt gerade", advice: "Versuch es gleich noch einmal." },
    overloaded: { title: "Der Dienst ist ausgelastet", advice: "Versuch es gleich noch einmal." },
    unreachable: {
      title: "Der Dienst antwortet nicht",
      advice: "Vielleicht startet er neu. Versuch es gleich noch einmal.",
    },
    offline: { title: "Du bist offline", advice: "Versuch es noch einmal, wenn die Verbindung wieder da ist." },
  },
};
