import { readFileSync } from "node:fs";

function needed(name: string, what: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`set ${name} to ${what}`);
  return value;
}

const target = needed("TWIN_GATEWAY_HTTP_TARGET", "the gateway's HTTP address, such as 127.0.0.1:8080");

/** The gateway's HTTP address as a URL. */
export const baseUrl = target.includes("://") ? target : `http://${target}`;

/** A photo with a face in it that the gallery does not hold. */
export const photo = new Uint8Array(
  readFileSync(needed("TWIN_CONTRACT_PHOTO", "the path of a photo with a face in it that the gallery does not hold")),
);

/** What proves the administrator's role. */
export const admin = {
  authorization: `Bearer ${needed("TWIN_ADMIN_KEY", "the gateway's administrator key")}`,
};
