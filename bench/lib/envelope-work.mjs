// @ts-check
// What the envelope rows measure of this library. Nothing here needs Node.js, so that a browser's page
// runs the same work on the portable backend.

/**
 * A build of the library, on either backend.
 * @typedef {object} Library
 * @property {Pick<typeof import("../../src/index.ts"), "memoryAgreement" | "memorySigner">} hl
 * @property {Pick<typeof import("../../src/chain/index.ts"), "cidOf" | "DAG_CBOR">} chain
 * @property {typeof import("../../src/envelope/index.ts")} envelope
 */

/**
 * One row: `begin` makes what is worked on, and gives the work, which says how many units it did.
 * @typedef {object} Work
 * @property {string} name
 * @property {string} unit
 * @property {boolean} [lessIsBetter] - the unit is ms: of one call of the work
 * @property {number} times - calls of the work in one round, on a native backend
 * @property {(options?: { mega?: number }) => Promise<() => Promise<number> | number>} begin
 */

export const MEGA = 1 << 20;

/**
 * The work of every envelope row.
 *
 * @param {Library} library
 * @param {(length: number) => Uint8Array} [random]
 * @param {import("../../src/envelope/index.ts").SuiteName} [suite]
 */
export function envelopeWork(
  { hl, chain, envelope: env },
  random = strongRandom,
  suite = "chacha",
) {
  const signer = hl.memorySigner({ alg: "Ed25519", secret: random(32) });
  const agreement = hl.memoryAgreement({ alg: "X25519", secret: random(32) });
  const recipient = { alg: /** @type {const} */ ("X25519"), publicKey: agreement.publicKey };
  const basis = random(32);
  const context = {
    ledger: chain.cidOf(random(32), chain.DAG_CBOR),
    author: signer.actor,
    kind: "record",
  };
  const author = { alg: signer.alg, publicKey: signer.publicKey };
  const grantor = { ...author, actor: signer.actor };

  /** @param {Uint8Array} bytes @param {number} recipients */
  async function seal(bytes, recipients) {
    const parts = [{ id: "content", bytes }];
    const sealed = await env.sealEnvelope({ context, parts, signer, random, suite });
    const grants = await env.makeGrants({
      envelope: sealed.cid,
      basis,
      keys: { cek: sealed.cek },
      recipients: Array.from({ length: recipients }, () => recipient),
      signer,
      random,
    });
    return { ...sealed, grants };
  }

  /** @param {Awaited<ReturnType<typeof seal>>} sealed */
  async function open({ cid: envelope, header, blocks, grants }) {
    const grant = /** @type {Uint8Array} */ (grants[0]);
    const keys = await env.openGrant({ grant, agreement, envelope, basis, grantor });
    const read = readerOf(blocks);
    const opened = await env.openEnvelope({ envelope, header, keys, context, author, read });
    env.wipeKeys(keys);
    return opened.parts.get("content");
  }

  /**
   * @param {ByteSource} source
   * @param {(cid: CID, bytes: Uint8Array) => Promise<void> | void} put
   */
  const sealStream = (source, put) =>
    env.sealStream({ context, parts: [{ id: "content", source }], signer, random, suite, put });

  /**
   * What opens a part that was sealed as a stream.
   *
   * @param {{ cid: CID, header: Uint8Array, cek: Uint8Array }} sealed
   * @param {(cid: CID) => Promise<Uint8Array | undefined>} read
   */
  const openingOf = ({ cid: envelope, header, cek }, read) => ({
    ...{ envelope, header, context, author, read },
    keys: { cek },
    part: "content",
  });

  /** A stream that was sealed into memory. @param {number} mega */
  async function sealedInMemory(mega) {
    /** @type {{ cid: CID, bytes: Uint8Array }[]} */
    const blocks = [];
    const sealed = await sealStream(study(mega, random), (cid, bytes) => {
      blocks.push({ cid, bytes });
    });
    return openingOf(sealed, readerOf(blocks));
  }

  /**
   * @param {string} what
   * @param {number} bytes
   * @param {number} recipients
   * @param {number} times
   * @returns {Work}
   */
  const whole = (what, bytes, recipients, times) => ({
    name: `${what}/${bytes === 1024 ? "1k" : "16m"}-${recipients}`,
    unit: "envelopes/s",
    times,
    async begin() {
      const content = random(bytes);
      const sealed = await seal(content, recipients);
      return async () => {
        await (what === "seal" ? seal(content, recipients) : open(sealed));
        return 1;
      };
    },
  });

  /** @type {readonly Work[]} */
  const rows = [
    whole("seal", 1024, 1, 1000),
    whole("open", 1024, 1, 1000),
    whole("seal", 16 * MEGA, 10, 4),
    whole("open", 16 * MEGA, 10, 4),
    {
      name: "grant/rewrap",
      unit: "grants/s",
      times: 500,
      async begin() {
        const { cid: envelope, grants } = await seal(random(1024), 1);
        const grant = /** @type {Uint8Array} */ (grants[0]);
        const to = { recipient, basis: random(32), signer, random };
        return async () => {
          await env.rewrapGrant({ grant, agreement, envelope, basis, grantor, to });
          return 1;
        };
      },
    },
    {
      name: "grant/collection",
      unit: "wraps/s",
      times: 20_000,
      async begin() {
        const key = env.createCollection(random);
        const { cid: envelope, cek } = await seal(random(1024), 1);
        return () => {
          env.wrapForCollection(key, { envelope, basis, keys: { cek }, random });
          return 1;
        };
      },
    },
    {
      name: "stream/seal-1g",
      unit: "MB/s",
      times: 1,
      begin: async ({ mega = 1024 } = {}) => {
        const source = study(mega, random);
        return async () => {
          await sealStream(source, () => undefined);
          return (mega * MEGA) / 1e6;
        };
      },
    },
    {
      name: "stream/open-1g",
      unit: "MB/s",
      times: 1,
      begin: async ({ mega = 1024 } = {}) => {
        const opening = await sealedInMemory(mega);
        return async () => {
          let length = 0;
          for await (const piece of env.openStream(opening)) length += piece.length;
          return length / 1e6;
        };
      },
    },
    {
      name: "range/1g-end",
      unit: "ms",
      lessIsBetter: true,
      times: 50,
      begin: async ({ mega = 1024 } = {}) => {
        const opening = await sealedInMemory(mega);
        const to = mega * MEGA;
        return async () => {
          await env.openRange({ ...opening, from: to - 100, to });
          return 1;
        };
      },
    },
  ];
  return { random, signer, seal, open, sealStream, openingOf, rows };
}

/** As many megabytes as are wanted, the same one again and again; can be read many times. */
/** @param {number} mega @param {(length: number) => Uint8Array} random */
export function study(mega, random) {
  const piece = random(MEGA);
  return {
    async *[Symbol.asyncIterator]() {
      for (let i = 0; i < mega; i++) yield piece;
    },
  };
}

/** @param {readonly { cid: CID, bytes: Uint8Array }[]} blocks */
function readerOf(blocks) {
  const byName = new Map(blocks.map(({ cid, bytes }) => [cid.toString(), bytes]));
  return async (/** @type {CID} */ cid) => byName.get(cid.toString());
}

/** @param {number} length */
function strongRandom(length) {
  const bytes = new Uint8Array(length);
  // the most that one call gives
  for (let at = 0; at < length; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  }
  return bytes;
}

/** @typedef {import("multiformats/cid").CID} CID */
/** @typedef {import("../../src/envelope/index.ts").ByteSource} ByteSource */
