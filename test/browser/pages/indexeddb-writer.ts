import { cidOf, RAW } from "../../../src/codec/cid.ts";
import { AppendConflict } from "../../../src/storage/errors.ts";
import { indexeddbStorage } from "../../../src/storage/indexeddb.ts";
import type { NamedBlob } from "../../../src/storage/types.ts";

const NAME = "writers";
const encode = (value: string): Uint8Array => new TextEncoder().encode(value);
const decode = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes);

/** What comes with a commit; one of the blobs is large enough to stand in a file of its own. */
function blobsOf(name: string): NamedBlob[] {
  return Array.from({ length: 10 }, (_, i) => {
    const bytes = encode(`${name} blob ${i} ${"x".repeat(i === 9 ? 100_000 : 200)}`);
    return { cid: cidOf(bytes, RAW), bytes };
  });
}

/** Commits so many times, and reports each before the next. */
export async function write(label: string, count: number): Promise<void> {
  const storage = await indexeddbStorage({ name: NAME });
  let head = await storage.chains.head("a");
  for (let done = 0; done < count;) {
    const name = `${label} ${done}`;
    try {
      head = (await storage.commit({
        append: { chain: "a", expected: head, records: [encode(name), encode(`${name} second`)] },
        blobs: blobsOf(name),
        state: [{ key: encode(`last ${label}`), value: encode(name) }],
      }))!;
    } catch (error) {
      if (!(error instanceof AppendConflict)) throw error;
      head = error.head;
      continue;
    }
    await fetch(`/report?line=${label}`);
    done++;
  }
  await storage.close();
}

/**
 * Checks that the store holds whole commits only, each once, in the order of their writers.
 *
 * @param from - index of the record to begin with
 * @returns number of commits of each writer from there on, and what is wrong
 */
export async function check(
  from: number,
): Promise<{ size: number; counts: Record<string, number>; wrong: string[] }> {
  const storage = await indexeddbStorage({ name: NAME });
  const wrong: string[] = [];
  const texts: string[] = [];
  for await (const { index, record } of storage.chains.read("a", { from })) {
    if (index !== from + texts.length) wrong.push(`index ${index} follows ${texts.length}`);
    texts.push(decode(record));
  }
  const counts: Record<string, number> = {};
  for (let i = 0; i < texts.length; i += 2) {
    const name = texts[i]!;
    const [label, number] = name.split(" ") as [string, string];
    if (Number(number) !== (counts[label] ?? 0)) wrong.push(`${name} is out of order`);
    if (texts[i + 1] !== `${name} second`) wrong.push(`${name} is torn`);
    counts[label] = Number(number) + 1;
    const blobs = blobsOf(name);
    const found = await storage.blobs.getMany(blobs.map(({ cid }) => cid));
    if (!found.every((bytes, b) => bytes && cidOf(bytes, RAW).equals(blobs[b]!.cid))) {
      wrong.push(`${name} lacks a blob`);
    }
  }
  for (const [label, count] of Object.entries(counts)) {
    const last = decode(await storage.state.get(encode(`last ${label}`)));
    if (last !== `${label} ${count - 1}`) wrong.push(`${label} has state ${last}`);
  }
  const { size } = await storage.chains.head("a");
  if ((await storage.blobs.count()) !== 5 * size) wrong.push("blobs too few or too many");
  await storage.close();
  return { size, counts, wrong };
}

/** As {@link check} from the beginning; gives the code of the error where the store says one. */
export async function checkDamaged(): Promise<Awaited<ReturnType<typeof check>> | string> {
  return check(0).catch((error: { code?: string }) => {
    if (error.code === undefined) throw error;
    return error.code;
  });
}
