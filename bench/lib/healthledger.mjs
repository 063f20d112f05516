// @ts-check
// The built package. Set HEALTHLEDGER_DIST to measure another build of it.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const { HEALTHLEDGER_DIST } = process.env;
/** Where the build stands. */
export const dist = HEALTHLEDGER_DIST
  ? pathToFileURL(`${resolve(HEALTHLEDGER_DIST)}/`)
  : new URL("../../dist/", import.meta.url);

/** @param {string} file */
const load = (file) => import(new URL(file, dist).href);

/** @type {typeof import("../../src/index.ts")} */
export const hl = await load("index.js");
/** @type {typeof import("../../src/chain/index.ts")} */
export const hlChain = await load("chain/index.js");
/** @type {typeof import("../../src/merkle/index.ts")} */
export const hlMerkle = await load("merkle/index.js");
/** @type {typeof import("../../src/network/index.ts")} */
export const network = await load("network/index.js");
/** @type {typeof import("../../src/light/index.ts")} */
export const light = await load("light/index.js");
/** @type {typeof import("../../src/consent/index.ts")} */
export const consent = await load("consent/index.js");
/** @type {typeof import("../../src/storage/lmdb.ts")} */
export const { lmdbStorage } = await load("storage/lmdb.js");
/** @type {typeof import("../../src/storage/memory.ts")} */
export const { memoryStorage } = await load("storage/memory.js");
/** @type {typeof import("../../src/storage/postgres.ts")} */
export const { postgresStorage } = await load("storage/postgres.js");
/** @type {typeof import("../../src/storage/s3.ts")} */
export const { s3Storage } = await load("storage/s3.js");
/** @type {typeof import("../../src/storage/sqlite.ts")} */
export const { sqliteStorage } = await load("storage/sqlite.js");
/** @type {typeof import("../../src/envelope/index.ts")} */
export const envelope = await load("envelope/index.js");
/** @type {typeof import("../../src/workers/index.ts")} */
export const { nodeWorkers } = await load("workers/index.js");
