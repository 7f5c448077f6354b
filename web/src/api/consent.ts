import { Code, ConnectError } from "@connectrpc/connect";

/** What a visitor is asked to agree to before a photo is kept. */
export interface ConsentText {
  version: string;
  /** Of the text: English where there is none in the language that the page speaks. */
  language: string;
  text: string;
}

/** Fetches the consent text in force, in that language where there is one. Throws when it cannot be had: without it nothing may be kept. */
export async function fetchConsentText(language: string): Promise<ConsentText> {
  const response = await fetch(`/consent?language=${language}`, { signal: AbortSignal.timeout(10_000) });
  if (response.status >= 500) throw new ConnectError("consent text", Code.Unavailable);
  if (!response.ok) throw new Error(`consent text: HTTP ${response.status}`);
  const body: unknown = await response.json();
  if (!isConsentText(body)) throw new Error("consent text: not the expected shape");
  return body;
}

function isConsentText(body: unknown): body is ConsentText {
  return (
    typeof body === "object" &&
    body !== null &&
    "version" in body &&
    typeof body.version === "string" &&
    "language" in body &&
    typeof body.language === "string" &&
    "text" in body &&
    typeof body.text === "string"
  );
}
