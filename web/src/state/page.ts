import { reduce } from "./events";
import { galleryNamed } from "./galleryName";
import { initialState } from "./state";
import { createStore } from "./store";

/** The page's one state. */
export const page = createStore(reduce, { ...initialState, galleryName: galleryNamed(location.search) });
