import type { PreparedPhoto } from "./prepare";

const images = new WeakMap<PreparedPhoto, Promise<HTMLImageElement>>();

/** The photo as something to draw; decoded once, however many faces are cut from it. Rejects when it cannot be shown here. */
export function imageOf(photo: PreparedPhoto): Promise<HTMLImageElement> {
  const known = images.get(photo);
  if (known) return known;
  const loading = load(photo.url);
  images.set(photo, loading);
  return loading;
}

function load(url: string): Promise<HTMLImageElement> {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Error("the photo cannot be shown here"));
    image.src = url;
  });
}
