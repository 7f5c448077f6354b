import { translateKeepPanel } from "../state/keeping";
import { page } from "../state/page";
import { speakAsChosen, strings } from "../strings";
import { LANGUAGES, type Language } from "../strings/choice";

/** The languages that the page speaks. */
export function LanguageChoice() {
  const speak = async (language: Language) => {
    await speakAsChosen(language);
    page.send({ type: "language-changed", language });
    translateKeepPanel();
  };
  return (
    <ul class="languages" aria-label={strings.languages}>
      {LANGUAGES.map(([language, name]) => (
        <li key={language}>
          <button
            type="button"
            class="text-button"
            lang={language}
            aria-pressed={strings.language === language}
            onClick={() => void speak(language)}
          >
            {name}
          </button>
        </li>
      ))}
    </ul>
  );
}
