/** A piece of the consent text: some words, then a list, either of which may be missing. */
export interface ConsentBlock {
  words: string;
  items: string[];
}

/** Reads the consent text: blank lines part its blocks, "- " begins a list item, and other line ends mean nothing. */
export function consentBlocks(text: string): ConsentBlock[] {
  return text
    .split(/\r?\n[ \t]*\r?\n/)
    .map((block) => {
      // The words before the first item are the first piece, which is empty when the block begins with one.
      const [words = "", ...items] = block.split(/^[ \t]*- /m).map(oneLine);
      return { words, items };
    })
    .filter(({ words, items }) => words !== "" || items.length > 0);
}

const oneLine = (lines: string) => lines.replace(/\s+/g, " ").trim();
