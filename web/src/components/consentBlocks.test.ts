import { expect, test } from "vitest";
import { consentBlocks } from "./consentBlocks";

test("blank lines part the blocks, and line ends inside them mean nothing", () => {
  expect(consentBlocks("One\ntwo.\n\n\nThree - not a list.\n")).toEqual([
    { words: "One two.", items: [] },
    { words: "Three - not a list.", items: [] },
  ]);
});

test("a list keeps its heading, and items run over several lines", () => {
  expect(consentBlocks("What is kept\n- Your photo,\n  rebuilt.\n- A name")).toEqual([
    { words: "What is kept", items: ["Your photo, rebuilt.", "A name"] },
  ]);
});

test("a list needs no heading, and an empty text has no blocks", () => {
  expect(consentBlocks("- One\r\n- Two")).toEqual([{ words: "", items: ["One", "Two"] }]);
  expect(consentBlocks(" \n ")).toEqual([]);
});
