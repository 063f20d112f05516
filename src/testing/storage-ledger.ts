import { sha256 } from "#crypto";
import { encodeGenesis } from "../block/genesis.ts";
import { encodeSubjectEntry } from "../block/subject-entry.ts";
import { signTransaction } from "../block/transaction.ts";
import type { AppendableChain } from "../chain/chain.ts";
import { openChain } from "../chain/open-chain.ts";
import { describeMember } from "../chain/founding.ts";
import { createSequencer } from "../chain/sequencer.ts";
import { verifyLedger } from "../chain/verify-ledger.ts";
import { cidOf, DAG_CBOR } from "../codec/cid.ts";
import { encode } from "../codec/dag-cbor.ts";
import { memorySigner, type Signer } from "../identity/signer.ts";
import { leafHash } from "../merkle/hash.ts";
import { verifyInclusion } from "../merkle/verify.ts";
import type { StateChange, StateStore, StorageAdapter } from "../storage/types.ts";
import { check, checkCode, checkSame, collect } from "./kit.ts";
import {
  bytes,
  chainsOf,
  noise,
  stateOf,
  withStorage,
  type StorageCase,
} from "./storage-subject.ts";

const NOW = 1_767_225_600_000;

function signerOf(name: string): Signer {
  return memorySigner({ alg: "Ed25519", secret: sha256(bytes(name)) });
}

async function found(): Promise<{ genesis: Uint8Array; signers: [Signer, Signer] }> {
  const nonce = sha256(bytes("kit"));
  const signers: [Signer, Signer] = [signerOf("one"), signerOf("two")];
  const members = [];
  for (const signer of signers) {
    members.push(await describeMember({ sign: [signer] }, ["custodian", "sequencer"], nonce));
  }
  const genesis = encodeGenesis({
    v: 1,
    origin: "ledger.example/kit",
    nonce,
    members,
    checkpointKeys: [signerOf("checkpoint").publicKey],
    threshold: 1,
    cosignaturePolicy: {
      validators: { required: 0, keys: [] },
      witnesses: { required: 0, keys: [] },
    },
    maxDrift: 60_000,
    maxTxAge: 600_000,
    kinds: [],
    contracts: [],
  });
  return { genesis, signers };
}

interface Author {
  readonly chain: AppendableChain;
  /** Records one entry and waits until it is durable. */
  record(number: number): Promise<void>;
  close(): Promise<void>;
}

async function authorOn(
  storage: StorageAdapter,
  genesis: Uint8Array,
  signer: Signer,
): Promise<Author> {
  const chain = await openChain({ storage, genesis });
  const sequencer = createSequencer({ chain, storage, signer, now: () => NOW });
  return {
    chain,
    async record(number) {
      const name = sha256(bytes(`${signer.actor} ${number}`));
      const body = cidOf(name, DAG_CBOR);
      const entry = encodeSubjectEntry("record", name.slice(0, 16), sha256(name), body);
      const what = { ledger: chain.ledger, lane: 0, seq: number, time: NOW, entries: [entry] };
      await (
        await sequencer.submit(await signTransaction(signer, what))
      ).durable;
    },
    async close() {
      await sequencer.close();
      await chain.close();
    },
  };
}

const DERIVED = { gte: bytes("chain/"), lt: bytes("chain0") };

/** The derived value that says how far the others reach. */
function isMark({ key }: { readonly key: Uint8Array }): boolean {
  return key.length === 6 + 16 + 1 && key.at(-1) === 0;
}

async function put(state: StateStore, changes: readonly StateChange[]): Promise<void> {
  for (let i = 0; i < changes.length; i += 100) await state.batch(changes.slice(i, i + 100));
}

/** Opens the ledger and checks everything that must be provable in it. */
async function checkLedger(
  storage: StorageAdapter,
  genesis: Uint8Array,
  expected: { readonly size: number; readonly root: Uint8Array; readonly state: Uint8Array },
  what: string,
  options: { readonly acceptLoss?: boolean } = {},
): Promise<void> {
  const chain = await openChain({ storage, genesis, ...options });
  const { size, root } = chain;
  checkSame({ size, root, state: chain.state.root }, expected, what);
  for (let height = 0; height < size; height++) {
    const { block } = await chain.readBlock(height);
    const proof = await chain.proveInclusion(height, size);
    const claim = { index: height, size, leafHash: leafHash(block.header), proof, root };
    check(verifyInclusion(claim).ok, `${what}: block ${height} is not provable`);
    await chain.proveState("sys/policy", height);
  }
  await chain.close();
}

/** Cases for a ledger on top of a storage with chains and state, which is what adapters are for. */
export const ledgerCases: readonly StorageCase[] = [
  {
    name: "ledger: sequencers on several handles write one history",
    requires: ["chains", "state"],
    run: (make) =>
      withStorage(make, async (storage, subject) => {
        const { genesis, signers } = await found();
        const authors = [
          await authorOn(storage, genesis, signers[0]),
          await authorOn(await subject.open(), genesis, signers[1]),
        ];
        await Promise.all(
          authors.map(async (author) => {
            for (let number = 0; number < 6; number++) await author.record(number);
          }),
        );
        for (const author of authors) await author.chain.refresh();
        const [one, two] = authors.map(({ chain }) => chain) as [AppendableChain, AppendableChain];
        checkSame([one.size, one.root], [two.size, two.root], "what both see");
        const verified = await verifyLedger(chainsOf(storage), { genesis });
        check(verified.ok, `the ledger does not verify: ${JSON.stringify(verified)}`);
        checkSame(verified.root, one.root, "root");
        let transactions = 0;
        for (let height = 0; height < one.size; height++) {
          transactions += (await one.readBlock(height)).block.transactions.length;
        }
        checkSame(transactions, 12, "number of transactions");
        for (const author of authors) await author.close();
      }),
  },

  {
    name: "ledger: derived nodes that are missing or that a losing process left are made good",
    requires: ["chains", "state"],
    run: (make) =>
      withStorage(make, async (storage) => {
        const { genesis, signers } = await found();
        const state = stateOf(storage);
        const author = await authorOn(storage, genesis, signers[0]);
        for (let number = 0; number < 3; number++) await author.record(number);
        await author.chain.derived.flush();
        const early = await collect(state.scan(DERIVED));
        for (let number = 3; number < 7; number++) await author.record(number);
        const { chain } = author;
        const expected = { size: chain.size, root: chain.root, state: chain.state.root };
        await author.close();
        const all = await collect(state.scan(DERIVED));
        check(all.some(isMark) && early.some(isMark), "no mark of the derived data is there");
        const without = (entries: typeof all): StateChange[] =>
          entries.map(({ key }) => ({ key, value: null }));
        const mark = all.find(isMark)!;

        await checkLedger(storage, genesis, expected, "as it was closed");
        await put(state, without(all));
        await checkLedger(storage, genesis, expected, "without derived data");
        await put(state, without(all.filter(isMark)));
        await checkLedger(storage, genesis, expected, "without their mark");
        await put(state, [...without(all), ...early]);
        await checkLedger(storage, genesis, expected, "with those of three blocks");
        // Another history, which lost the race for its position.
        const other = (size: number): Promise<void> =>
          put(state, [
            { key: mark.key, value: encode({ size, root: noise(32, 1), record: noise(32, 2) }) },
          ]);
        for (const size of [2, expected.size]) {
          await other(size);
          await checkLedger(storage, genesis, expected, `marked by one that lost, at ${size}`);
        }
        // With lost blocks, the mark is beyond the end.
        await other(expected.size + 2);
        const refused = openChain({ storage, genesis });
        await checkCode(refused, "ERR_CHAIN_LOST", "opening behind a mark beyond the end");
        await checkLedger(storage, genesis, expected, "with the loss accepted", {
          acceptLoss: true,
        });
        const again = await authorOn(storage, genesis, signers[1]);
        await again.record(0);
        checkSame(again.chain.size, expected.size + 1, "size after one more");
        await again.close();
      }),
  },
];
