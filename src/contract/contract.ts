import type { CID } from "../codec/cid.ts";
import type { ContractManifest } from "./manifest.ts";

/**
 * One version of a contract that this node can run: what every engine gives. The same call on the
 * same state must have the same effect on every node, for ever.
 */
export interface Contract {
  readonly manifest: ContractManifest;
  /** CID of the manifest. */
  readonly rule: CID;
  /**
   * Runs one call. It may run several times: until all keys that it reads are in memory.
   *
   * @param call - checked by the action's schema; a copy that belongs to the code
   */
  run(action: string, call: unknown, context: ContractContext): void;
}

/** All that a contract's code sees from outside a call. */
export interface ContractContext {
  /** Height of the block that records the call. */
  readonly height: number;
  /** The block's time, in ms since 1970. */
  readonly time: number;
  /** Who signed the call's transaction. */
  readonly author: string;
  /** The author's roles in this contract before the block; every member has `member`. */
  readonly roles: readonly string[];
  /** The manifest's `config`. */
  readonly config: unknown;
  /**
   * Reads a value as earlier calls of the block left it.
   *
   * @param key - 1 to 128 letters, digits and `-_./:`
   * @returns a copy; `undefined` if there is none
   */
  get(key: string): unknown;
  /** Writes a value: any data without floats, at most 8 KiB when encoded. */
  set(key: string, value: unknown): void;
  delete(key: string): void;
  /** Spends a one-time tag of 32 bytes; a tag that is spent already refuses the call. */
  spend(tag: Uint8Array): void;
  /**
   * Refuses the call, and with it its transaction.
   *
   * @param code - lower-case words with hyphens, which the submitter is told
   */
  fail(code: string): never;
}
