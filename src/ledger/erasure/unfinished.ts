import { ERASURE_CLASSES, type ErasureClass } from "../../block/entry.ts";
import { concatBytes } from "../../bytes/concat.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import { expectBytes, expectMap, expectOneOf, expectUint } from "../../codec/shape.ts";
import { entryIdBytes, toEntryId, type EntryId } from "../../codec/ids.ts";
import type { StateChange } from "../../storage/types.ts";
import type { Vault } from "../vault/vault.ts";

/** An erasure on the ledger whose data may still be in the storage's files. */
export interface PendingErasure {
  /** Names the erase entry. */
  readonly id: EntryId;
  readonly class: ErasureClass;
  /** When it was filed, in ms since 1970. */
  readonly since: number;
}

/** Marks of erasures whose traces have yet to be removed from keys and files. */
export interface Unfinished {
  /** The change to commit with the erase entry, so that the next opening knows of the erasure. */
  mark(erasure: PendingErasure): StateChange;
  list(): Promise<readonly Marked[]>;
  remove(marked: readonly Marked[]): StateChange[];
}

/** A mark; it has no erasure if an earlier version of the library left it. */
export interface Marked {
  readonly name: Uint8Array;
  readonly erasure?: PendingErasure;
  /**
   * Why the mark cannot be read. It is kept: data may remain of an erasure that nobody can name.
   */
  readonly damage?: unknown;
}

/** The marks that a vault keeps. */
export function unfinishedErasures(vault: Vault): Unfinished {
  const prefix = vault.name("unfinished erasures").subarray(0, 16);
  return {
    mark: (erasure) =>
      vault.put(
        concatBytes(prefix, vault.name("unfinished erasure", entryIdBytes(erasure.id))),
        encodePending(erasure),
      ),
    async list() {
      const found: Marked[] = [];
      for await (const { name, value } of vault.scan(prefix)) {
        try {
          found.push(value.length === 0 ? { name } : { name, erasure: decodePending(value) });
        } catch (damage) {
          found.push({ name, damage });
        }
      }
      return found;
    },
    remove: (marked) => marked.map(({ name }) => vault.remove(name)),
  };
}

function encodePending({ id, class: what, since }: PendingErasure): Uint8Array {
  return encode({ v: 1, id: entryIdBytes(id), class: what, since });
}

function decodePending(bytes: Uint8Array): PendingErasure {
  const map = expectMap(decode(bytes), "unfinished erasure", ["v", "id", "class", "since"]);
  return {
    id: toEntryId(expectBytes(map["id"], "unfinished erasure", 32)),
    class: expectOneOf(map["class"], "unfinished erasure", ERASURE_CLASSES),
    since: expectUint(map["since"], "unfinished erasure"),
  };
}
