import { chooseLanguage, type Language } from "./choice";
import { en, type Strings } from "./en";

/** The words of the page, in the language that it speaks now. */
export let strings: Strings = en;

const CHOICE_KEY = "language";

/** Speaks the language of the visitor's choice, or of their browser. */
export function speakAsWanted(): Promise<void> {
  return speak(chooseLanguage(remembered(), navigator.languages));
}

/** Speaks another language from now on, and on the next visit. */
export async function speakAsChosen(language: Language): Promise<void> {
  await speak(language);
  try {
    localStorage.setItem(CHOICE_KEY, language);
  } catch {
    // Where nothing may be stored, the choice holds for this visit.
  }
}

/** Other languages than English are fetched when they are wanted; one that cannot be had leaves the page as it is. */
async function speak(language: Language): Promise<void> {
  try {
    strings = language === "de" ? (await import("./de")).de : en;
    document.documentElement.lang = strings.language;
  } catch {
    return;
  }
}

function remembered(): string | null {
  try {
    return localStorage.getItem(CHOICE_KEY);
  } catch {
    return null;
  }
}
