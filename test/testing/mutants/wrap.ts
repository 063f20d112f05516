import type { FullStorage, Head, ChainStore } from "../../../src/storage/types.ts";

/** An adapter with one defect; its name says which. */
export interface Mutant {
  readonly name: string;
  /** Changes a handle of a store that is right. `shared` is one object for all handles of a store. */
  readonly change: (storage: FullStorage, shared: Record<string, any>) => FullStorage;
}

export const mutant = (name: string, change: Mutant["change"]): Mutant => ({ name, change });

/** Caps of all three stores changed alike. */
export function onCaps(storage: FullStorage, change: object): FullStorage {
  const caps = { ...storage.chains.caps, ...change };
  return {
    ...storage,
    chains: { ...storage.chains, caps },
    blobs: { ...storage.blobs, caps },
    state: { ...storage.state, caps },
  };
}

export const copy = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);
export const copyHead = ({ size, hash }: Head): Head => ({ size, hash: hash && copy(hash) });
export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

export async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

/** Items up to a number of them. */
export async function* first<T>(source: AsyncIterable<T>, count: number): AsyncGenerator<T> {
  if (count <= 0) return;
  let left = count;
  for await (const item of source) {
    yield item;
    if (--left === 0) return;
  }
}

/** A storage whose calls after close go on as if it were open. */
export const codeOf = (error: unknown): unknown => (error as { code?: unknown } | undefined)?.code;

/** An append that notes the size that each chain has by its own handle. */
export const noting =
  (chains: ChainStore, sizes: Map<string, number>): ChainStore["append"] =>
  async (chain, ...rest) => {
    const head = await chains.append(chain, ...rest);
    sizes.set(chain, head.size);
    return head;
  };
