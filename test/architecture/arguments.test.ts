import { describe, expect, it } from "vitest";
import { appendTo, greatest, least } from "../../src/bytes/lists.ts";
import { sourceFiles, spreadArgumentsOf } from "./source.ts";

/** Lists that cannot become long, and what bounds them. */
const BOUNDED: Readonly<Record<string, string>> = {
  "bytes/bytes-key.ts: String.fromCharCode.apply(null, bytes as unknown as number[])":
    "hashes, names and keys of a state store: MAX_STATE_KEY_BYTES",
  "chain/checked-tree.ts: concatBytes(...(await nodesOf(tileNodes(id))))": "256 in a tile",
  "ledger/disclosure/answer-blobs.ts: concatBytes(...car)": "two for each of BLOBS_TOGETHER",
  "network/ledger-handler.ts: joined(...hashes.slice(0, width))": "256 in a tile",
  "storage/lmdb/chains.ts: String.fromCharCode(...chain)": "16 bytes of a hash",
};

describe("lists as arguments", () => {
  it("are nowhere but where something bounds them", () => {
    const found = sourceFiles()
      // Kits choose what they pass themselves.
      .filter(({ path }) => !path.startsWith("testing/"))
      .flatMap(({ path, text }) => spreadArgumentsOf(path, text).map((one) => `${path}: ${one}`));
    expect(found.sort()).toEqual(Object.keys(BOUNDED).sort());
  });

  it.each([
    ["list.push(...more);", 1],
    ["Math.max(...list);", 1],
    ["new Set(...list);", 1],
    ["f.apply(null, list);", 1],
    ["Reflect.apply(f, undefined, list);", 1],
    ["const f = (...own: number[]) => g(...own, ...other);", 1],
    ["const f = (...own: number[]) => g(1, ...own);", 0],
    ["state.apply(changes); [...a, ...b]; ({ ...a });", 0],
  ])("are found in %s", (text, count) => {
    expect(spreadArgumentsOf("x.ts", text)).toHaveLength(count);
  });
});

describe("lists of any length", () => {
  it("are appended and compared", () => {
    const list = [1];
    appendTo(
      list,
      Array.from({ length: 300_000 }, (_, i) => i),
    );
    expect(list).toHaveLength(300_001);
    expect(list.slice(0, 4)).toEqual([1, 0, 1, 2]);
    expect([least(list), greatest(list)]).toEqual([0, 299_999]);
    expect([least([]), greatest([])]).toEqual([Infinity, -Infinity]);
  });
});
