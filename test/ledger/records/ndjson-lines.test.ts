import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesToUtf8, utf8ToBytes } from "../../../src/bytes/utf8.ts";
import { ndjsonLines, type NdjsonInput } from "../../../src/ledger/records/ndjson-lines.ts";
import { collect } from "../../support/ward.ts";
import { collectGarbage } from "../../support/collect-garbage.ts";

const read = (input: NdjsonInput, maxLineBytes = 1000, signal = new AbortController().signal) =>
  collect(ndjsonLines(input, { maxLineBytes, signal }));

/** The same, slowly: all of the text is divided at once. */
function slowly(text: string, maxLineBytes: number): (readonly [number, string | undefined])[] {
  const lines = text.replace(/^\uFEFF/, "").split("\n");
  return lines.flatMap((line, i) => {
    const content = line.replace(/\r$/, "");
    if (/^[ \t]*$/.test(content) && Buffer.byteLength(content) <= maxLineBytes) return [];
    return [[i + 1, Buffer.byteLength(content) > maxLineBytes ? undefined : content] as const];
  });
}

const told = (lines: Awaited<ReturnType<typeof read>>) =>
  lines.map(({ number, bytes }) => [number, bytes && bytesToUtf8(bytes)]);

const character = fc.constantFrom("a", '"', " ", "\t", "\r", "\n", "\r\n", "\n\n", "é", "€", "😀");
const text = fc
  .tuple(fc.boolean(), fc.array(character, { maxLength: 60 }))
  .map(([isMarked, all]) => `${isMarked ? "\uFEFF" : ""}${all.join("")}`);
const cuts = fc.array(fc.nat({ max: 80 }), { maxLength: 12 });

function cut<T extends { readonly length: number }>(
  whole: T,
  at: readonly number[],
  slice: (from: number, to: number) => T,
): T[] {
  const places = [0, ...at.filter((place) => place < whole.length), whole.length].sort(
    (a, b) => a - b,
  );
  return places.slice(1).map((to, i) => slice(places[i]!, to));
}

describe("ndjsonLines", () => {
  it("divides bytes and text as it divides all at once, wherever they are cut", async () => {
    await fc.assert(
      fc.asyncProperty(text, cuts, fc.integer({ min: 1, max: 12 }), async (whole, at, most) => {
        const bytes = utf8ToBytes(whole);
        const expected = slowly(whole, most);
        const pieces = cut(bytes, at, (from, to) => bytes.slice(from, to));
        expect(told(await read(pieces, most))).toEqual(expected);
        const parts = cut(whole, at, (from, to) => whole.slice(from, to));
        expect(told(await read(parts, most))).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  it("takes a web stream, and cancels the rest of it", async () => {
    let cancelled = false;
    const stream = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(utf8ToBytes("1\n2\n")),
      cancel: () => void (cancelled = true),
    });
    const { signal } = new AbortController();
    for await (const { number } of ndjsonLines(stream, { maxLineBytes: 9, signal })) {
      if (number === 3) break;
    }
    expect(cancelled).toBe(true);
  });

  it("gives half a character as bytes that are not UTF-8, and never another character", async () => {
    for (const input of [
      ["\ud83d", "\n1"],
      ["\ud83d", Uint8Array.of(10), "1"],
      ["\ude00\n1"],
      ["a\ud83d"],
    ]) {
      const [first] = await read(input);
      expect(() => bytesToUtf8(first!.bytes!)).toThrow();
    }
  });

  it("holds nothing of a line that is too long", async () => {
    const piece = new Uint8Array(1024 * 1024).fill(97);
    let pieces = 0;
    function* long(): Generator<Uint8Array> {
      yield utf8ToBytes("1\n");
      for (; pieces < 1024; pieces++) yield piece;
      collectGarbage();
      held = process.memoryUsage().arrayBuffers - before;
      yield utf8ToBytes("\n3");
    }
    let held = Infinity;
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    const lines = ndjsonLines(long(), {
      maxLineBytes: 32 * 1024 * 1024,
      signal: new AbortController().signal,
    });
    const found: unknown[] = [];
    for await (const { number, bytes } of lines) found.push([number, bytes?.length]);
    expect(found).toEqual([
      [1, 1],
      [2, undefined],
      [3, 1],
    ]);
    expect(held).toBeLessThan(64 * 1024 * 1024);
  });

  it("stops while its input is idle", async () => {
    const stop = new AbortController();
    async function* idle(): AsyncGenerator<Uint8Array> {
      yield utf8ToBytes("1\n");
      await new Promise(() => undefined);
    }
    const why = new Error("enough");
    setTimeout(() => stop.abort(why), 5);
    await expect(read(idle(), 9, stop.signal)).rejects.toBe(why);
  });

  it("refuses what is neither bytes nor text", async () => {
    await expect(read([1] as never)).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
  });
});
