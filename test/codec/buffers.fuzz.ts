import { describe, expect, it } from "vitest";
import { FORMS, POWERS, referenceBytes, writesAlike } from "../support/buffer-edges.ts";
import { effort } from "../support/effort.ts";

/** `HEALTHLEDGER_BUFFER_EDGE`: largest buffer whose whole surroundings are swept, in bytes. */
const EDGE = effort("HEALTHLEDGER_BUFFER_EDGE", { full: 2 ** 20, short: 2 ** 14 });

describe(`every length 0 to 100 at every byte around buffers up to ${EDGE}`, () => {
  it.each(Object.keys(FORMS))("%s", (form) => {
    const wrong: string[] = [];
    for (let length = 0; length <= 100; length++) {
      const value = FORMS[form]!(length);
      const expected = referenceBytes(value);
      for (const power of POWERS.filter((one) => one <= EDGE)) {
        for (let at = power - expected.length - 12; at <= power + 12; at++) {
          if (writesAlike(at, expected, value) === false) wrong.push(`${length} at ${at}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });
});
