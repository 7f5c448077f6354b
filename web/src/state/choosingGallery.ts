import { awaitService } from "./gallery";
import { galleryNamed, queryNaming } from "./galleryName";
import { page } from "./page";
import { searchInGallery } from "./searching";

/** Goes on in another gallery: the address names it, and the photo is searched anew. */
export function chooseGallery(name: string): void {
  history.pushState(null, "", queryNaming(name, location.search) + location.hash);
  enter(name);
}

/** Follows the browser's ways back and forth between galleries. */
export function followAddress(): void {
  window.addEventListener("popstate", () => {
    const name = galleryNamed(location.search);
    if (name !== page.get().galleryName) enter(name);
  });
}

function enter(galleryName: string): void {
  page.send({ type: "gallery-chosen", galleryName });
  void searchInGallery();
  void awaitService();
}
