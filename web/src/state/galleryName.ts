/** The gallery that the page's address names, as in /?gallery=family; the gateway's own choice when it names none. */
export const galleryName = new URLSearchParams(location.search).get("gallery") ?? "";
