import { sha256 } from "#crypto";
import { utf8ToBytes } from "../bytes/utf8.ts";

/** Numbers that a seed determines. */
export interface SimulatedRandom {
  /** A whole number, `least` ≤ n ≤ `most`. */
  between(least: number, most: number): number;
  /** `true` with this probability. */
  chance(probability: number): boolean;
  /** One of these. */
  pick<T>(items: readonly T[]): T;
  bytes(length: number): Uint8Array;
}

/** Starts a sequence that a name determines (sfc32, seeded by SHA-256). */
export function simulatedRandom(name: string): SimulatedRandom {
  const seed = new DataView(sha256(utf8ToBytes(name)).buffer.slice(0));
  let [a, b, c, d] = [0, 4, 8, 12].map((at) => seed.getUint32(at)) as [
    number,
    number,
    number,
    number,
  ];

  function next(): number {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  }
  const fraction = (): number => next() / 2 ** 32;
  for (let i = 0; i < 12; i++) next();

  const between = (least: number, most: number): number =>
    least + Math.floor(fraction() * (most - least + 1));
  return {
    between,
    chance: (probability) => fraction() < probability,
    pick: (items) => items[between(0, items.length - 1)]!,
    bytes: (length) => Uint8Array.from({ length }, () => next() & 255),
  };
}
