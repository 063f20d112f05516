import { giveTurn } from "../../loop/give-turn.ts";
import type { StateChange } from "../../storage/types.ts";
import type { Vault } from "../vault/vault.ts";
import { heldFrom, IN_HEAD, type Held } from "./held.ts";
import { knownPerson, type IndexMemory } from "./memory.ts";
import {
  decodeHead,
  encodeHead,
  encodePage,
  HEAD_ITEMS,
  nextDigest,
  NO_ENTRIES,
  PAGE_ITEMS,
} from "./rows.ts";

/** The in-memory part of one list of entries, as changes of the store. */
export interface ListStep {
  readonly head: Uint8Array;
  /** Pages without what was erased. */
  readonly erasing: readonly StateChange[];
  /** Whether the head that the store holds may have held what was erased, now or earlier. */
  readonly isErasing: boolean;
  /** New pages; no head vouches for them yet. */
  readonly added: readonly StateChange[];
  /** Entries that move, and the page that each moves to. */
  readonly paged: readonly (readonly [Held, number])[];
}

/**
 * Brings one list up to date with memory.
 *
 * @param key - that of the list in the maps of memory
 * @param stored - the head that the store holds, if any
 */
export async function buildList(
  { local, key, stored }: { local: Uint8Array; key: string; stored: Uint8Array | undefined },
  memory: IndexMemory,
  vault: Pick<Vault, "put">,
): Promise<ListStep> {
  const { names } = memory.stored!;
  const { fresh, dirty } = memory.overlay;
  const before = stored === undefined ? NO_ENTRIES : decodeHead(stored);
  let { count, digest, pages, erased } = before;
  const changed = dirty.get(key);
  const erasing: StateChange[] = [];
  for (const page of changed?.pages ?? []) {
    if (page === IN_HEAD) continue;
    const items = changed!.person.held.filter((held) => held.page === page);
    erasing.push(vault.put(names.page(local, page), encodePage(items)));
  }
  erased += changed?.erased ?? 0;
  const added = fresh.get(key)?.held ?? [];
  for (const { item } of added) {
    digest = nextDigest(digest, item);
    if (item.erasedBy !== undefined) erased++;
  }
  count += added.length;
  const unpaged = [...(pages === 0 ? inHead() : []), ...added];
  const isShort = pages === 0 && unpaged.length <= HEAD_ITEMS;
  const paged: (readonly [Held, number])[] = [];
  const newPages: StateChange[] = [];
  if (isShort) for (const held of added) paged.push([held, IN_HEAD]);
  for (let at = 0; !isShort && at < unpaged.length; at += PAGE_ITEMS) {
    const some = unpaged.slice(at, at + PAGE_ITEMS);
    for (const held of some) paged.push([held, pages]);
    newPages.push(vault.put(names.page(local, pages++), encodePage(some)));
    await giveTurn();
  }
  return {
    head: encodeHead({ count, digest, pages, erased }, isShort ? unpaged : []),
    erasing,
    // What was in the head once is in the first page now.
    isErasing: changed !== undefined && (changed.pages.has(IN_HEAD) || changed.pages.has(0)),
    added: newPages,
    paged,
  };

  function inHead(): readonly Held[] {
    const known = knownPerson(memory, key)?.held.filter(({ page }) => page === IN_HEAD);
    return known ?? before.items.map((item) => heldFrom(item, IN_HEAD));
  }
}
