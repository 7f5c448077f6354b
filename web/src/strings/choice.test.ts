import { expect, test } from "vitest";
import { chooseLanguage } from "./choice";

test.each([
  [null, ["de-AT", "en"], "de"],
  [null, ["fr-FR", "de", "en"], "de"],
  [null, ["en-GB", "de"], "en"],
  [null, ["fr", "den"], "en"],
  [null, [], "en"],
  ["en", ["de"], "en"],
  ["de", ["en"], "de"],
  ["fr", ["de"], "de"],
] as const)("chosen %j, browser %j: %s", (chosen, wanted, language) => {
  expect(chooseLanguage(chosen, wanted)).toBe(language);
});
