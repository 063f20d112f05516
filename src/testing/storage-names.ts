import { cidFromDigest, DAG_CBOR, RAW } from "../codec/cid.ts";
import { AppendConflict } from "../storage/errors.ts";
import type { ChainStore, Head, StateEntry } from "../storage/types.ts";
import { check, checkSame, collect, outcomeOf, rejection } from "./kit.ts";
import {
  blobsOf,
  bytes,
  chainsOf,
  EMPTY,
  headAfter,
  noise,
  readAll,
  records,
  stateOf,
  withStorage,
  type StorageCase,
} from "./storage-subject.ts";

/** Texts that a layer in between may confuse with each other, or with something else. */
export const ALIKE: readonly string[] = [
  // composed, decomposed, and other forms that Unicode treats as equal
  ...["é", "e\u0301", "Å", "\u212b", "ﬁ", "fi", "ｆｉ", "①", "1"],
  // upper and lower case, here and abroad
  ...["a", "A", "ab", "AB", "aB", "ß", "ss", "SS", "ſ", "s", "İ", "i", "ı", "I", "ς", "σ", "Σ"],
  // white space and invisible characters
  ...["a ", " a", "a\t", "a\n", "a\r\n", "a\u00a0", "a\u200b", "a\u00ad", "\u200e", "a\u202e"],
  ...["\ufeff", "\ufeffa", "a\ufeff", "\0", "\0\0", "a\0", "\0a", "a\0b", "a\u0001", "\u007f"],
  // beyond the BMP, and the replacement character
  ...["\u{1f600}", "\u{1f601}", "\ufffd", "\ufffd\ufffd", "?", "\uff5e", "\u{10ffff}", "\uffff"],
  // paths, escapes, patterns, quotes, numbers
  ...["/", "//", "a/", "/a", "a/b", "a\\b", "a%2fb", "a%2Fb", "a+b", "a b", ".", "..", "../a"],
  ...["%", "_", "a_", "a%", "a*", "[a]", "'", '"', "''", "`", "\\", "\\0", "$1", "{}", ":", "a:b"],
  ...["0", "00", "01", "1.0", "1e0", "-0", "0x1", "NaN", "null", "undefined", "true", "[]"],
  // names that objects have already
  ...["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "length", "size"],
  ...["con", "nul", "a.", "a.json", "index", "head", "meta", "chains", "blobs", "state"],
  // equal up to the last byte, and with equal 32-bit hashes
  ...["Aa", "BB", `${"x".repeat(255)}1`, `${"x".repeat(255)}2`, "x".repeat(255), "x".repeat(64)],
  ...["é".repeat(128), `${"é".repeat(127)}e`, "\u{1f600}".repeat(64)],
];

async function checkNames(chains: ChainStore, names: readonly string[]): Promise<void> {
  const own = (i: number): Uint8Array[] => records(1 + (i % 3), `of ${i}`);
  // In batches of twenty, so that a store that syncs each is done in time.
  for (let i = 0; i < names.length; i += 20) {
    const part = names.slice(i, i + 20);
    await Promise.all(part.map((name, j) => chains.append(name, EMPTY, own(i + j))));
  }
  for (const [i, name] of names.entries()) {
    const shown = JSON.stringify(name);
    checkSame(await chains.head(name), headAfter(own(i)), `head of ${shown}`);
    checkSame(await readAll(chains, name), own(i), `records of ${shown}`);
  }
  const listed = await collect(chains.list());
  checkSame(listed.sort(), [...names].sort(), "names");
}

const hex = (value: Uint8Array): string =>
  Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("");

/**
 * Keys that differ late, in bytes that are not text, or in what some alphabets fold; sorted as
 * bytes.
 */
function awkwardKeys(): Uint8Array[] {
  const filled = (length: number, ...end: readonly number[]): Uint8Array => {
    const key = new Uint8Array(length + end.length).fill(0x61);
    key.set(end, length);
    return key;
  };
  const keys = [
    ...ALIKE.map(bytes),
    // as bytes the first comes last, as UTF-16 first
    ...["\uff5e", "\uffff", "\u{10000}", "\u{1f600}x"].map(bytes),
    // not UTF-8, and what it may be confused with
    ...[[0x80], [0xbf], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xfe], [0xff], [0xff, 0xff]].map((k) =>
      Uint8Array.from(k),
    ),
    ...[[0], [0, 0], [0, 0, 0], [0, 1], [1], [1, 0], [127], [128], [254], [254, 255]].map((k) =>
      Uint8Array.from(k),
    ),
    // equal in their first bytes
    ...[7, 8, 9, 15, 16, 31, 32, 63, 64, 127, 128, 254, 255, 256, 510, 511, 512, 767, 1022].flatMap(
      (length) => [
        filled(length),
        filled(length, 0),
        filled(length, 0x60),
        filled(length, 0x61, 0x00),
        filled(length, 0x7f),
        filled(length, 0x80),
        filled(length, 0xff),
      ],
    ),
    ...[0, 1, 2, 3, 4, 5, 6].map((seed) => noise(1 + seed * 170, seed)),
  ];
  const distinct = new Map(keys.map((key) => [hex(key), key]));
  return [...distinct.keys()].sort().map((name) => distinct.get(name)!);
}

/** Cases for names, keys and CIDs that are nearly equal, and for their order. */
export const nameCases: readonly StorageCase[] = [
  {
    name: "names: of chains are told apart by every byte, and nothing else makes two of one",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        await checkNames(chainsOf(storage), ALIKE);
        // Another handle reads them from storage.
        const listed = await collect(chainsOf(await subject.open()).list());
        checkSame(listed.sort(), [...ALIKE].sort(), "names as another handle sees them");
      }),
  },
  {
    name: "names: those that chains cannot have are refused by every call",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const chains = chainsOf(storage);
        const wrong: readonly (readonly [string, unknown])[] = [
          ["no text", ""],
          ["257 bytes", "x".repeat(257)],
          ["257 bytes in 129 characters", `${"é".repeat(128)}e`],
          ["half a character", "\ud83d"],
          ["the other half", "a\ude00"],
          ["halves the wrong way", "\ude00\ud83d"],
          ["a number", 1],
          ["bytes", bytes("a")],
          ["nothing", undefined],
          ["null", null],
        ];
        for (const [what, name] of wrong) {
          const chain = name as string;
          const calls: readonly (readonly [string, () => Promise<unknown>])[] = [
            ["head", () => chains.head(chain)],
            ["append", () => chains.append(chain, EMPTY, records(1))],
            ["read", () => collect(chains.read(chain, { from: 0 }))],
            ...(chains.tail
              ? [["tail", () => collect(chains.tail!(chain, { from: 0 }), 1)] as const]
              : []),
          ];
          for (const [method, call] of calls) {
            const { error, text } = await outcomeOf(call, `${method} of ${what}`);
            check(
              error instanceof TypeError || error instanceof RangeError,
              `${method} of a chain named by ${what}: ${text}`,
            );
          }
        }
        checkSame(await collect(chains.list()), [], "names");
      }),
  },
  {
    name: "names: list gives no chain to which no append succeeded, and none twice",
    requires: ["chains"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const chains = chainsOf(storage);
        const expected: Head = { size: 1, hash: noise(32, 1) };
        const error = await rejection(chains.append("no", expected, records(1)), "conflict");
        check(error instanceof AppendConflict, `expected AppendConflict, got ${String(error)}`);
        await chains.head("head only");
        await collect(chains.read("read only", { from: 0 }));
        const aborted = { signal: AbortSignal.abort(new Error("no")) };
        await rejection(chains.append("aborted", EMPTY, records(1), aborted), "aborted append");
        checkSame(await collect(chains.list()), [], "names");
        let head = await chains.append("a", EMPTY, records(1));
        head = await chains.append("a", head, records(1));
        await chains.append("a", head, records(1));
        checkSame(await collect(chains.list()), ["a"], "names of one chain, appended to thrice");
      }),
  },
  {
    name: "names: of blobs are told apart by every byte of digest and codec",
    requires: ["blobs"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const blobs = blobsOf(storage);
        const digest = noise(32, 1);
        // In base32 and base64, another case of a letter makes another name; in hex it does not.
        const digests = [digest, new Uint8Array(32), new Uint8Array(32).fill(255)];
        for (const place of [0, 3, 4, 7, 8, 15, 16, 27, 30, 31]) {
          for (const bit of [1, 0x20, 0x80]) {
            const other = new Uint8Array(digest);
            other[place]! ^= bit;
            digests.push(other);
          }
        }
        const all = digests.flatMap((name, i) =>
          [RAW, DAG_CBOR, 0x70].map((codec) => ({
            cid: cidFromDigest(name, codec as typeof RAW),
            bytes: bytes(`${i} ${codec}`),
          })),
        );
        for (let i = 0; i < all.length; i += 20) await blobs.put(all.slice(i, i + 20));
        checkSame(
          await blobs.getMany(all.map(({ cid }) => cid)),
          all.map((blob) => blob.bytes),
          "blobs of names that differ by a bit",
        );
        const gone = all.filter((_, i) => i % 2 === 0);
        await blobs.delete(gone.map(({ cid }) => cid));
        for (const [i, { cid }] of all.entries()) {
          checkSame(await blobs.has(cid), i % 2 === 1, `whether blob ${i} is there`);
        }
        const left = all.filter((_, i) => i % 2 === 1).map(({ cid }) => String(cid));
        checkSame((await collect(blobs.list())).map(String).sort(), left.sort(), "list");
      }),
  },
  {
    name: "names: keys of state are told apart by every byte and ordered by all of them",
    requires: ["state"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const state = stateOf(storage);
        const keys = awkwardKeys();
        const mixed = keys.map((_, i) => keys[(i * 97) % keys.length]!);
        checkSame(new Set(mixed).size, keys.length, "keys to be put");
        for (let i = 0; i < mixed.length; i += 50) {
          await state.batch(mixed.slice(i, i + 50).map((key) => ({ key, value: key })));
        }
        const names = keys.map(hex);
        const found = await state.getMany(keys);
        checkSame(
          found.map((value) => value && hex(value)),
          names,
          "values by their keys",
        );
        const lt = new Uint8Array(1024).fill(255);
        const scanned = async (gte: Uint8Array, end: Uint8Array, reverse: boolean) =>
          (await collect(state.scan({ gte, lt: end, reverse }))).map(
            ({ key, value }: StateEntry) => {
              check(hex(key) === hex(value), `the value of another key at ${hex(key)}`);
              return hex(key);
            },
          );
        checkSame(await scanned(new Uint8Array(), lt, false), names, "all, up");
        checkSame(await scanned(new Uint8Array(), lt, true), [...names].reverse(), "all, down");
        // Between any two keys, and between the keys right before and after them.
        for (let i = 0; i < keys.length; i += 9) {
          const end = Math.min(i + 25, keys.length - 1);
          const wanted = names.slice(i, end);
          const [low, high] = [keys[i]!, keys[end]!];
          checkSame(await scanned(low, high, false), wanted, `from ${names[i]}`);
          checkSame(await scanned(low, high, true), [...wanted].reverse(), `down to ${names[i]}`);
          if (low.length > 1000 || high.length > 1000) continue;
          const behind = (key: Uint8Array): Uint8Array => Uint8Array.from([...key, 0]);
          const inside = names.filter(
            (name) => name >= hex(behind(low)) && name < hex(behind(high)),
          );
          checkSame(
            await scanned(behind(low), behind(high), i % 2 === 0),
            i % 2 === 0 ? inside.reverse() : inside,
            `behind ${names[i]}`,
          );
        }
        // Every second one is removed; the others stay.
        await state.batch(keys.filter((_, i) => i % 2 === 0).map((key) => ({ key, value: null })));
        checkSame(
          await scanned(new Uint8Array(), lt, false),
          names.filter((_, i) => i % 2 === 1),
          "after removal",
        );
      }),
  },
];
