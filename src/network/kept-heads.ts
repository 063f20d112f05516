import type { CID } from "../codec/cid.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { readCheckpoint } from "../chain/checkpoint-note.ts";
import type { AcceptedCheckpoint } from "../chain/checkpoints.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectBytes, expectMap, expectVersion } from "../codec/shape.ts";
import type { StateStore } from "../storage/types.ts";

/** What a copy remembers of checkpoints beside its blocks. */
export interface KeptHeads {
  /** The largest checkpoint that was accepted, with the encoded steps by which it was. */
  accepted(): Promise<{ readonly note: Uint8Array; readonly steps: Uint8Array } | undefined>;
  keepAccepted(note: Uint8Array, steps: Uint8Array): Promise<void>;
  /** The largest accepted checkpoint whose blocks are all here. */
  held(): Promise<AcceptedCheckpoint | undefined>;
  keepHeld(note: Uint8Array): Promise<void>;
}

/** Opens what a copy of a ledger remembers in a state store. Everything is durable once it is kept. */
export function openKeptHeads(state: StateStore, ledger: CID): KeptHeads {
  const keyOf = (what: string): Uint8Array => utf8ToBytes(`network/${ledger.toString()}/${what}`);

  async function read(what: string, fields: readonly string[]) {
    const bytes = await state.get(keyOf(what));
    if (bytes === undefined) return undefined;
    const map = expectMap(decode(bytes, { maxBytes: 8 * 1024 * 1024 }), what, ["v", ...fields]);
    expectVersion(map["v"], what);
    return map;
  }
  const keep = (what: string, fields: Record<string, unknown>): Promise<void> =>
    state.batch([{ key: keyOf(what), value: encode({ v: 1, ...fields }) }]);

  return {
    async accepted() {
      const map = await read("accepted", ["note", "steps"]);
      return (
        map && { note: expectBytes(map["note"], "note"), steps: expectBytes(map["steps"], "steps") }
      );
    },
    keepAccepted: (note, steps) => keep("accepted", { note, steps }),
    async held() {
      const map = await read("held", ["note"]);
      if (map === undefined) return undefined;
      const note = expectBytes(map["note"], "note");
      const head = readCheckpoint(note);
      return head && { note, size: head.size, root: head.root };
    },
    keepHeld: (note) => keep("held", { note }),
  };
}
