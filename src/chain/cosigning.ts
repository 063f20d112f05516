import { equalBytes } from "../bytes/compare.ts";
import { concatBytes } from "../bytes/concat.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import type { Chain } from "./chain.ts";
import { NOTE_COSIGNATURE, type NoteKey } from "./note-key.ts";
import { parseNote, splitNote } from "./note.ts";
import type { PolledCosigners, WaitingCheckpoint } from "./polled-cosigners.ts";
import type { Witness } from "./witness.ts";

/** Who cosigns checkpoints: asked one by one, or asking by themselves. */
export type Cosigner = Witness | PolledCosigners;

/** Asks cosigners for their signatures. */
export interface Cosigning {
  /**
   * Adds the valid cosignatures that cosigners return.
   *
   * @param note - signed by a key that the cosigners know
   * @param known - keys whose signatures are accepted, including the note's own keys
   * @param isEnough - whether a note has all the cosignatures that are required: the others are
   *   waited for no longer than optional ones are
   * @param validators - public keys of the validators among the known keys
   */
  cosign(
    note: Uint8Array,
    size: number,
    known: readonly NoteKey[],
    isEnough: (note: Uint8Array) => boolean,
    validators?: readonly Uint8Array[],
  ): Promise<Uint8Array>;
}

/**
 * Resolves when cosigners that have not answered are to be left out; at once when the signal
 * reports that all have answered.
 */
export type CosigningTime = (signal: AbortSignal) => Promise<unknown>;

/** How long cosigners are waited for, from the moment they are asked. */
export interface CosigningTimes {
  /** As long as required cosignatures are missing. Default: until each has answered or failed. */
  readonly required?: CosigningTime | undefined;
  /** Once none is missing any more. Default: as long as for required ones. */
  readonly optional?: CosigningTime | undefined;
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve());
  });
const NO_LIMIT: CosigningTime = aborted;

const ATTEMPTS = 4;

/**
 * Makes a {@link Cosigning} for one chain, which remembers the size that each cosigner saw last.
 */
export function createCosigning(
  chain: Chain,
  cosigners: readonly Cosigner[],
  { required = NO_LIMIT, optional = NO_LIMIT }: CosigningTimes = {},
): Cosigning {
  const polled = cosigners.filter((one) => "offer" in one);
  const witnesses = cosigners.filter((one): one is Witness => !("offer" in one));
  const seen = new Map<Witness, number>();
  /**
   * Cosigners that have not answered yet: they are asked again only once they have, so that
   * requests do not pile up.
   */
  const busy = new Set<Witness>();

  async function ask(cosigner: Witness, note: Uint8Array, size: number): Promise<string> {
    if (busy.has(cosigner)) return "";
    busy.add(cosigner);
    try {
      let old = Math.min(seen.get(cosigner) ?? 0, size);
      // Again with the size that the witness reports as its last, and again if another process has
      // moved it on meanwhile.
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const proof = old === 0 || old === size ? [] : await chain.proveConsistency(old, size);
        const answer = await cosigner.cosign(note.slice(), old, proof);
        if (answer.ok) {
          seen.set(cosigner, size);
          return answer.line;
        }
        // No size beyond this one is believed: a proof from there could never be made.
        if (answer.reason !== "stale" || answer.size === old || !isUpTo(answer.size, size)) break;
        old = answer.size;
      }
    } catch {
      // An unreachable cosigner must not stop the ledger; the policy determines which ones are
      // needed.
    } finally {
      busy.delete(cosigner);
    }
    return "";
  }

  return {
    async cosign(note, size, known, isEnough, validators = []) {
      if (cosigners.length === 0) return note;
      let cosigned = note;
      const enough = new AbortController();
      const whole = new AbortController();
      const keys = known.filter(({ type }) => type === NOTE_COSIGNATURE);
      const add = (line: string): void => {
        cosigned = withLine(cosigned, line, known);
        if (isEnough(cosigned)) enough.abort();
        if (!keys.some((key) => lacksSignature(cosigned, key))) whole.abort();
      };
      const waiting: WaitingCheckpoint = {
        ...{ size, keys, validators, add },
        get note() {
          return cosigned;
        },
        lacks: (key) => lacksSignature(cosigned, key),
      };
      add("");
      const asked = witnesses.map(async (one) => add(await ask(one, note, size)));
      const done = new AbortController();
      for (const one of polled) one.offer(waiting, done.signal);
      // Who may yet ask by itself is known by its key only.
      const all = polled.length > 0 ? aborted(whole.signal) : Promise.all(asked);
      try {
        const { signal } = done;
        const inTime = Promise.all([aborted(enough.signal), optional(signal)]);
        await Promise.race([all, required(signal), inTime]);
        // Lines that arrive later are left out.
        return cosigned;
      } finally {
        done.abort();
      }
    },
  };
}

function isUpTo(value: unknown, size: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= size;
}

function lacksSignature(note: Uint8Array, { name, keyId }: NoteKey): boolean {
  const split = splitNote(note);
  return !(
    split.ok && split.note.signatures.some((one) => one.name === name && one.keyId === keyId)
  );
}

/**
 * Adds a line only if it is a valid signature of this text by a known key: any other line would
 * invalidate the note.
 */
function withLine(note: Uint8Array, line: unknown, known: readonly NoteKey[]): Uint8Array {
  if (typeof line !== "string" || line.indexOf("\n") !== line.length - 1) return note;
  const split = splitNote(note);
  if (!split.ok) return note;
  const { text } = split.note;
  const bytes = utf8ToBytes(line);
  const alone = parseNote(concatBytes(text, utf8ToBytes("\n"), bytes), known);
  if (!alone.ok || !equalBytes(alone.text, text)) return note;
  const longer = concatBytes(note, bytes);
  return parseNote(longer, known).ok ? longer : note;
}
