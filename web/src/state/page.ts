import { reduce } from "./events";
import { initialState } from "./state";
import { createStore } from "./store";

/** The page's one state. */
export const page = createStore(reduce, initialState);
