/** The gallery that an address's query names, as in /?gallery=family; "", the gateway's own choice, when it names none. */
export const galleryNamed = (query: string): string => new URLSearchParams(query).get("gallery") ?? "";

/** The address's query with another gallery named in it; the rest of it stays. */
export function queryNaming(name: string, query: string): string {
  const parameters = new URLSearchParams(query);
  parameters.set("gallery", name);
  return `?${parameters}`;
}
