export type Language = "en" | "de";

/** Each language by its own name, as its speakers look for it. */
export const LANGUAGES: readonly (readonly [language: Language, name: string])[] = [
  ["en", "English"],
  ["de", "Deutsch"],
];

/** The language that the visitor chose before, or else the first of the browser's that the page speaks; English without one. */
export function chooseLanguage(chosen: string | null, wanted: readonly string[]): Language {
  for (const tag of [chosen ?? "", ...wanted]) {
    const known = LANGUAGES.find(([language]) => tag.toLowerCase().split("-")[0] === language);
    if (known) return known[0];
  }
  return "en";
}
