import { consentBlocks } from "./consentBlocks";

/** The consent text, which is in English whatever the page speaks, set as headings, paragraphs and lists. */
export function ConsentWords({ text }: { text: string }) {
  return (
    <>
      {consentBlocks(text).map(({ words, items }) => {
        const heading = items.length > 0 || !/[.!?]$/.test(words);
        return (
          <div key={words || items[0]} lang="en">
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
