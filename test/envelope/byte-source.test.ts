import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { untilAborted } from "../../src/envelope/byte-source.ts";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

describe("untilAborted", () => {
  it("holds no piece once the next one is asked for", async () => {
    const { signal } = new AbortController();
    const pieces: WeakRef<Uint8Array>[] = [];
    async function* source() {
      for (let i = 0; i < 200; i++) {
        const piece = new Uint8Array(1024);
        pieces.push(new WeakRef(piece));
        yield piece;
      }
    }
    let left = 0;
    for await (const piece of untilAborted(source(), signal)) {
      expect(piece).toHaveLength(1024);
      if (pieces.length < 200) continue;
      await new Promise((resolve) => setTimeout(resolve, 10));
      gc();
      left = pieces.filter((one) => one.deref() !== undefined).length;
    }
    expect(left).toBeLessThan(20);
  });

  it("ends while the source is idle, with the reason", async () => {
    const controller = new AbortController();
    async function* idle() {
      yield Uint8Array.of(1);
      await new Promise(() => undefined);
    }
    const reason = new Error("enough");
    const reading = (async () => {
      for await (const piece of untilAborted(idle(), controller.signal)) {
        expect(piece).toEqual(Uint8Array.of(1));
        setTimeout(() => controller.abort(reason), 5);
      }
    })();
    await expect(reading).rejects.toBe(reason);
  });
});
