import type { SizeLimit } from "../api/problem";

/** A count as people write it: 12,345. */
export function countOf(count: number, language: string): string {
  return new Intl.NumberFormat(language).format(count);
}

/** A percentage, 0..100, as a whole number; never 100, since no likeness is sure. */
export function percentOf(percent: number): string {
  return String(Math.max(0, Math.min(99, Math.round(percent))));
}

/** A narrow space that never breaks, and the sign. */
export const PERCENT_SIGN = "\u202f%";

/** A share, 0..1, as a percentage with one decimal. It is rounded down: "closer than 99.9 %" must be true. */
export function shareOf(share: number, language: string): string {
  const tenths = Math.floor(Math.max(0, Math.min(1, share)) * 1000 + 1e-6) / 10;
  return `${new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(tenths)}${PERCENT_SIGN}`;
}

/** The most of a photo's bytes or pixels, in the largest unit that fits; rounded down, so that as much is surely taken. */
export function sizeOf({ amount, unit }: SizeLimit, language: string): string {
  const units = unit === "bytes" ? BYTE_UNITS : PIXEL_UNITS;
  const { name, size } = units.find(({ size }) => amount >= size) ?? { name: unit, size: 1 };
  const tenths = Math.floor((10 * amount) / size) / 10;
  return `${new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(tenths)}\u00a0${name}`;
}

const BYTE_UNITS = [
  { name: "MiB", size: 2 ** 20 },
  { name: "KiB", size: 2 ** 10 },
];
const PIXEL_UNITS = [{ name: "megapixels", size: 1e6 }];
