import { concatBytes } from "../bytes/concat.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import type { Chain } from "./chain.ts";
import type { NoteKey } from "./note-key.ts";
import { parseNote } from "./note.ts";
import type { Witness } from "./witness.ts";

/** Asks cosigners for their signatures. */
export interface Cosigning {
  /**
   * Adds the cosignatures of those that give a good one.
   *
   * @param note - signed by one of the keys that the cosigners know
   * @param known - whose signatures count, the note's own keys among them
   */
  cosign(note: Uint8Array, size: number, known: readonly NoteKey[]): Promise<Uint8Array>;
}

/** Starts asking cosigners of one chain; remembers which size each saw last. */
export function createCosigning(chain: Chain, cosigners: readonly Witness[]): Cosigning {
  const seen = new Map<Witness, number>();

  async function ask(cosigner: Witness, note: Uint8Array, size: number): Promise<string> {
    try {
      // A second time with the size that the witness says it saw last.
      for (let attempt = 0; attempt < 2; attempt++) {
        const old = seen.get(cosigner) ?? 0;
        const proof = old === 0 || old >= size ? [] : await chain.proveConsistency(old, size);
        const answer = await cosigner.cosign(note, old, proof);
        seen.set(cosigner, answer.ok ? size : answer.size);
        if (answer.ok) return answer.line;
        if (answer.reason !== "stale" || answer.size > size) return "";
      }
    } catch {
      // One that cannot be reached must not stop the ledger; the policy says who is needed.
    }
    return "";
  }

  return {
    async cosign(note, size, known) {
      const lines = await Promise.all(cosigners.map((one) => ask(one, note, size)));
      let all = note;
      for (const line of lines) {
        // A bad line would spoil the checkpoint for everyone.
        const longer = concatBytes(all, utf8ToBytes(line));
        if (parseNote(longer, known).ok) all = longer;
      }
      return all;
    },
  };
}
