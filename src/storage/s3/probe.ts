import { toHex } from "../../bytes/hex.ts";
import { utf8ToBytes } from "../../bytes/utf8.ts";
import { InputError } from "../../errors.ts";
import { randomBytes } from "#crypto";
import { statusOf, type Requests, type Written } from "./requests.ts";

/** Results of testing a store. */
export interface Probed {
  /** Formats an ETag as the store accepts it in `If-Match`: some accept it only without quotes. */
  readonly quote: (etag: string) => string;
}

const RACERS = 4;
const STALE = '"00000000000000000000000000000000"';

/**
 * Tests, with objects of its own that it then removes, whether the store does what chains depend
 * on: it creates an object once, also under concurrency, replaces one only if the ETag matches, and
 * lists keys in order and immediately.
 *
 * @throws {InputError} `ERR_INPUT_UNSUPPORTED` when it does not
 */
export async function probe(requests: Requests, prefix: string): Promise<Probed> {
  const folder = `${prefix}probe/${toHex(randomBytes(16))}/`;
  const [first, second] = [`${folder}a`, `${folder}b`];
  try {
    await probeCreate(requests, first);
    await probeRace(requests, second);
    await probeList(requests, folder, [first, second]);
    return await probeReplace(requests, first);
  } finally {
    await Promise.all([first, second].map((key) => requests.remove(key)));
  }
}

async function probeCreate(requests: Requests, key: string): Promise<void> {
  const [one, two] = [utf8ToBytes("1"), utf8ToBytes("2")];
  if ((await writeOrRefuse(() => requests.create(key, one))) === "refused") {
    throw unsupported("refuses If-None-Match on PUT although there is no object");
  }
  if ((await requests.create(key, two)) !== "refused") {
    throw unsupported("ignores If-None-Match on PUT");
  }
  const found = await requests.get(key);
  if (found?.bytes[0] !== one[0]) throw unsupported("does not return the latest write");
}

async function probeRace(requests: Requests, key: string): Promise<void> {
  const outcomes = await Promise.all(
    Array.from({ length: RACERS }, (_, i) => requests.create(key, Uint8Array.of(i))),
  );
  const winners = outcomes.flatMap((outcome, i) => (outcome === "refused" ? [] : [i]));
  const found = await requests.get(key);
  // Possibly none, if the only response was lost.
  if (winners.length > 1 || (winners.length === 1 && found?.bytes[0] !== winners[0])) {
    throw unsupported("lets several PUTs with If-None-Match at the same time succeed");
  }
}

async function probeList(
  requests: Requests,
  folder: string,
  expected: readonly string[],
): Promise<void> {
  const keys: (string | undefined)[] = [];
  for await (const { Key } of requests.list(folder)) keys.push(Key);
  const after: (string | undefined)[] = [];
  for await (const { Key } of requests.list(folder, { after: expected[0]!, limit: 1 })) {
    after.push(Key);
  }
  if (keys.join() !== expected.join() || after.join() !== expected[1]) {
    throw unsupported("does not list the latest writes in key order");
  }
}

async function probeReplace(requests: Requests, key: string): Promise<Probed> {
  const stale = await writeOrRefuse(() => requests.replace(key, utf8ToBytes("3"), STALE));
  const there = await requests.get(key);
  if (stale !== "refused" || there?.bytes[0] !== 0x31) throw unsupported("ignores If-Match on PUT");
  for (const quote of [(etag: string) => etag, (etag: string) => etag.replaceAll('"', "")]) {
    const { etag } = (await requests.get(key)) ?? {};
    if (etag === undefined) throw unsupported("returns no ETags");
    const swaps = await Promise.allSettled(
      Array.from({ length: RACERS }, (_, i) =>
        requests.replace(key, Uint8Array.of(i + 0x40), quote(etag)),
      ),
    );
    const winners = swaps.filter(
      (swap) => swap.status === "fulfilled" && swap.value !== "refused",
    ).length;
    if (winners > 1) throw unsupported("lets several PUTs with one If-Match succeed");
    // Some stores answer the losers of the race with an error.
    if (winners === 1) return { quote };
  }
  throw unsupported("refuses If-Match on PUT although the ETag is right");
}

/** Some stores report an unknown condition instead of ignoring it. */
async function writeOrRefuse(write: () => Promise<Written>): Promise<Written> {
  try {
    return await write();
  } catch (error) {
    const cause = statusOf(error) === undefined ? (error as { cause?: unknown }).cause : error;
    if (statusOf(cause) === 501 || statusOf(cause) === 400) {
      throw unsupported("does not support conditions on PUT", error);
    }
    throw error;
  }
}

function unsupported(what: string, cause?: unknown): InputError {
  return new InputError(
    "ERR_INPUT_UNSUPPORTED",
    `the object store ${what}, so it cannot hold chains`,
    { cause },
  );
}
