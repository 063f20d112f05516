// @ts-check
import { createHash, hash } from "node:crypto";
import { createRequire } from "node:module";
import { open } from "lmdb";
import { MerkleTree } from "merkletreejs";
import { copyStorage } from "../lib/copy.mjs";
import { hl, hlChain, hlMerkle, lmdbStorage, memoryStorage } from "../lib/healthledger.mjs";
import { openHypercore, replicateLength } from "../lib/hypercore.mjs";
import { found, makeBlobs, openOnLmdb, signerOf } from "../lib/ledger.mjs";
import { pipelined, rates } from "../lib/measure.mjs";

const { MerkleTree: HypercoreTree } = createRequire(import.meta.url)(
  "hypercore/lib/merkle-tree.js",
);

/** @param {Uint8Array} bytes */
const sha256 = (bytes) => createHash("sha256").update(bytes).digest();

/** @typedef {import("../run.mjs").Run} Run */

/** Trees of as many leaves on all sides: blocks of our ledger, of a hypercore, plain leaves. */
async function makeTrees(/** @type {Run} */ { folder, short }) {
  const leaves = short ? 64 : 8192;
  const founded = await found();
  const memory = memoryStorage();
  const quick = await hlChain.openChain({ storage: memory, genesis: founded.genesis });
  const sealer = hlChain.createSequencer({
    chain: quick,
    storage: memory,
    signer: founded.signer,
    now: Date.now,
  });
  for (let i = 0; i < leaves; i++) await sealer.seal();
  await sealer.close();
  await quick.close();
  const storage = await lmdbStorage({ path: folder("ledger") });
  await copyStorage(memory, storage);
  const chain = await hlChain.openChain({ storage, genesis: founded.genesis });
  const core = await openHypercore(folder("hypercore"));
  await core.append(makeBlobs(leaves, 512));
  const hashes = makeBlobs(leaves, 64).map(sha256);
  const tree = new MerkleTree(hashes, sha256);
  return {
    leaves,
    chain,
    core,
    hashes,
    tree,
    async close() {
      await chain.close();
      await storage.close();
      await core.close();
    },
  };
}

/** A walk over all indices that looks random and is the same for each side. */
const spread = (/** @type {number} */ i, /** @type {number} */ leaves) => (i * 4099) % leaves;

const make = {
  name: "proof/make",
  unit: "proofs/s",
  /** @param {Run} run */
  async run(run) {
    const { leaves, chain, core, hashes, tree, close } = await makeTrees(run);
    const count = run.short ? 32 : 3000;
    const nodes = open({
      path: run.folder("nodes"),
      keyEncoding: "binary",
      encoding: "binary",
      overlappingSync: false,
    });
    const depth = Math.log2(leaves);
    const key = (/** @type {number} */ level, /** @type {number} */ index) => {
      const bytes = Buffer.alloc(9, level);
      bytes.writeBigUInt64BE(BigInt(index), 1);
      return bytes;
    };
    await nodes.transaction(() => {
      for (let level = 0; level < depth; level++) {
        for (let i = 0; i < leaves >> level; i++) nodes.put(key(level, i), Buffer.alloc(32, i));
      }
    });
    const measured = await rates(
      [
        {
          name: "ours",
          async round() {
            for (let i = 0; i < count; i++) {
              await chain.proveInclusion(spread(i, leaves), leaves);
            }
            return count;
          },
        },
        {
          name: "floor",
          round() {
            for (let i = 0; i < count; i++) {
              const proof = [];
              for (let level = 0; level < depth; level++) {
                proof.push(nodes.get(key(level, (spread(i, leaves) >> level) ^ 1)));
              }
              if (proof.includes(undefined)) throw new Error("a node is missing");
            }
            return count;
          },
        },
        {
          name: "hypercore",
          async round() {
            for (let i = 0; i < count; i++) {
              // For a reader who has no node of the path.
              const { block } = await core.proof({
                block: { index: spread(i, leaves), nodes: depth },
              });
              if (block.nodes.length !== depth) throw new Error("a node is missing");
            }
            return count;
          },
        },
        {
          name: "merkletreejs",
          round() {
            for (let i = 0; i < count; i++) {
              const index = spread(i, leaves);
              tree.getProof(/** @type {Buffer} */ (hashes[index]), index);
            }
            return count;
          },
        },
      ],
      run,
    );
    await nodes.close();
    await close();
    return {
      value: measured.ours,
      floor: measured.floor,
      peers: {
        hypercore: measured.hypercore,
        "merkletreejs (in memory)": measured.merkletreejs,
      },
    };
  },
};

const check = {
  name: "proof/check",
  unit: "proofs/s",
  /** @param {Run} run */
  async run(run) {
    const { leaves, chain, core, hashes, tree, close } = await makeTrees(run);
    const count = run.short ? 32 : 1000;
    const clone = await openHypercore(run.folder("clone"), core.key);
    const disconnect = await replicateLength(core, clone);
    /** @type {import("../../src/merkle/index.ts").InclusionClaim[]} */
    const ours = [];
    /** @type {unknown[]} */
    const theirs = [];
    /** @type {{ leaf: Buffer, proof: any }[]} */
    const others = [];
    for (let i = 0; i < count; i++) {
      const index = spread(i, leaves);
      const { block } = await chain.readBlock(index);
      ours.push({
        index,
        size: leaves,
        leafHash: hlMerkle.leafHash(block.header),
        proof: await chain.proveInclusion(index, leaves),
        root: chain.root,
      });
      const missing = await clone.missingNodes(index);
      theirs.push(await core.proof({ block: { index, nodes: missing } }));
      const leaf = /** @type {Buffer} */ (hashes[index]);
      others.push({ leaf, proof: tree.getProof(leaf, index) });
    }
    const root = tree.getRoot();
    const node = Buffer.alloc(65, 1);
    const measured = await rates(
      [
        {
          name: "ours",
          round() {
            for (const claim of ours) {
              if (!hlMerkle.verifyInclusion(claim).ok)
                throw new Error("a proof of ours does not hold");
            }
            return count;
          },
        },
        {
          name: "floor",
          round() {
            for (let i = 0; i < count; i++) {
              for (let level = 1; level < leaves; level *= 2) hash("sha256", node, "binary");
            }
            return count;
          },
        },
        {
          name: "hypercore",
          async round() {
            for (const proof of theirs) await HypercoreTree.verify(clone.state, proof);
            return count;
          },
        },
        {
          name: "merkletreejs",
          round() {
            for (const { leaf, proof } of others) {
              if (!MerkleTree.verify(proof, leaf, root, sha256)) throw new Error("does not hold");
            }
            return count;
          },
        },
      ],
      run,
    );
    disconnect();
    await clone.close();
    await close();
    return {
      value: measured.ours,
      floor: measured.floor,
      peers: { hypercore: measured.hypercore, merkletreejs: measured.merkletreejs },
    };
  },
};

/** An entry's whole receipt, of which the others have no like. */
const receipts = {
  name: "proof/receipt",
  unit: "receipts/s",
  /** @param {Run} run */
  async run(run) {
    const count = run.short ? 8 : 300;
    const transactions = run.short ? 4 : 100;
    const founded = await found();
    const ledger = await openOnLmdb(run.folder("ledger"), founded);
    const { chain } = ledger;
    // One after the other, so that each has a block of its own.
    await pipelined(transactions, 1, () => ledger.append(makeBlobs(100, 64)));
    const { note: checkpoint } = await hlChain
      .createCheckpointer({
        chain,
        chains: ledger.storage.chains,
        signer: signerOf("bench checkpoint key"),
      })
      .sign();
    const trust = hl.trustFromGenesis(founded.genesis);
    /** @type {Uint8Array[]} */
    const made = [];
    const makeOne = (/** @type {number} */ i) =>
      hlChain.makeReceipt(
        chain,
        { height: (i * 37) % transactions, transaction: 0, entry: (i * 61) % 100 },
        { checkpoint },
      );
    for (let i = 0; i < count; i++) made.push(await makeOne(i));
    const measured = await rates(
      [
        {
          name: "made",
          async round() {
            for (let i = 0; i < count; i++) await makeOne(i);
            return count;
          },
        },
        {
          name: "together",
          async round() {
            const next = hlChain.receiptMaker(chain, { checkpoint });
            for (let i = 0; i < count; i++) {
              await next({ height: Math.floor(i / 100), transaction: 0, entry: i % 100 });
            }
            return count;
          },
        },
        {
          name: "checked",
          round() {
            for (const receipt of made) {
              if (!hl.verifyReceipt(receipt, trust).ok) throw new Error("a receipt does not hold");
            }
            return count;
          },
        },
      ],
      run,
    );
    await ledger.close();
    return {
      value: measured.made,
      peers: {
        "ours for all entries of a block": measured.together,
        "ours checking them": measured.checked,
      },
    };
  },
};

export const rows = [make, check, receipts];
