import { consentBlocks } from "./consentBlocks";

/** The consent text, which may be in another language than the page, set as headings, paragraphs and lists. */
export function ConsentWords({ text, language }: { text: string; language: string }) {
  return (
    <>
      {consentBlocks(text).map(({ words, items }) => {
        const heading = items.length > 0 || !/[.!?]$/.test(words);
        return (
          <div key={words || items[0]} lang={language}>
            {words && <p class={heading ? "consent-heading" : undefined}>{words}</p>}
            {items.length > 0 && (
              <ul>
                {items.map((item) => (
                  <li key={item}>{item}</li>
                ))}
              </ul>
            )}
          </div>
        );
      })}
    </>
  );
}
