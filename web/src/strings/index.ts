import { en, type Strings } from "./en";

/** The words of the page. */
export const strings: Strings = en;
