import { describe, expect, it, vi } from "vitest";
import { cosignatureSigner, encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import type { ForkEvidence } from "../../src/chain/fork-evidence.ts";
import { judgeFork } from "../../src/chain/judge-fork.ts";
import { noteSigner, signNote, type NoteSigner } from "../../src/chain/note.ts";
import type { CheckpointPolicy } from "../../src/chain/policy-at.ts";
import { memorySigner } from "../../src/identity/signer.ts";

const checks = vi.hoisted(() => ({ count: 0 }));
// Counts the real checks.
vi.mock(import("../../src/chain/note-key.ts"), async (importOriginal) => {
  const real = await importOriginal();
  return {
    ...real,
    checkNoteSignature: (...given) => {
      checks.count++;
      return real.checkNoteSignature(...given);
    },
  };
});
const ORIGIN = "ledger.example/1";
const keyOf = (n: number) => memorySigner({ alg: "Ed25519", secret: new Uint8Array(32).fill(n) });
const LOG = keyOf(1);
const WITNESSES = Array.from({ length: 10 }, (_, i) => keyOf(10 + i));
const POLICY: CheckpointPolicy = {
  checkpointKeys: [LOG.publicKey],
  cosignaturePolicy: {
    validators: { required: 0, keys: [] },
    witnesses: {
      required: 6,
      keys: WITNESSES.map(({ publicKey }, i) => ({ name: `w${i}.example`, publicKey })),
    },
  },
};
const ALL: readonly NoteSigner[] = [
  noteSigner(LOG, ORIGIN),
  ...WITNESSES.map((key, i) => cosignatureSigner(key, `w${i}.example`, () => 1_700_000_000_000)),
];

/** Two notes of about 450 kB each, signed by the log and ten witnesses. */
async function evidence(
  { roots, origin = ORIGIN }: { roots: readonly [number, number]; origin?: string },
  signers = ALL,
): Promise<ForkEvidence> {
  const extensions = Array.from({ length: 4500 }, () => "x".repeat(99));
  const [first, second] = await Promise.all(
    roots.map((root) =>
      signNote(
        encodeCheckpoint({ origin, size: 9, root: new Uint8Array(32).fill(root), extensions }),
        signers,
      ),
    ),
  );
  // Whoever signs checks its signatures too.
  checks.count = 0;
  return { first: first!, second: second! };
}

describe("judgeFork", () => {
  it("checks no signature of two checkpoints that agree", async () => {
    expect(judgeFork(await evidence({ roots: [1, 1] }), ORIGIN, POLICY)).toEqual({
      log: false,
      cosigners: [],
    });
    expect(checks.count).toBe(0);
  });

  it("checks no signature of another log's checkpoints", async () => {
    const other = await evidence({ roots: [1, 2], origin: "ledger.example/2" });
    expect(judgeFork(other, ORIGIN, POLICY)).toEqual({ log: false, cosigners: [] });
    expect(checks.count).toBe(0);
  });

  it("checks two signatures of whoever signed a contradiction, and none of others", async () => {
    const found = judgeFork(await evidence({ roots: [1, 2] }, [ALL[3]!]), ORIGIN, POLICY);
    expect(found.log).toBe(false);
    expect(found.cosigners.map(({ name }) => name)).toEqual(["w2.example"]);
    expect(checks.count).toBe(2);
    const all = judgeFork(await evidence({ roots: [1, 2] }), ORIGIN, POLICY);
    expect(all.log).toBe(true);
    expect(all.cosigners).toHaveLength(10);
    expect(checks.count).toBe(22);
  });
});
