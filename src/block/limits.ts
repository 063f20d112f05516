/** Longest entry, in bytes. */
export const MAX_ENTRY_BYTES: number = 64 * 1024;
/** Most entries in one transaction. */
export const MAX_TRANSACTION_ENTRIES = 10_000;
/** Most transactions in one block. */
export const MAX_BLOCK_TRANSACTIONS = 10_000;
/**
 * Most bytes that all entries of one transaction have together, so that the transaction fits in a
 * block.
 */
export const MAX_TRANSACTION_BYTES: number = 8 * 1024 * 1024;
/** Longest encoded block, in bytes. */
export const MAX_BLOCK_BYTES: number = 16 * 1024 * 1024;
/** Longest header, in bytes. */
export const MAX_HEADER_BYTES = 1024;
/** Longest encoded genesis record, in bytes. */
export const MAX_GENESIS_BYTES: number = 1024 * 1024;
/** Most members named in one genesis or one change. */
export const MAX_MEMBERS = 1024;
/** Most approvals that one change may carry. */
export const MAX_APPROVALS = 256;
/** Most keys with which one member may start. */
export const MAX_MEMBER_KEYS = 16;
/** Most keys that sign a ledger's checkpoints. */
export const MAX_CHECKPOINT_KEYS = 64;
/** Latest time of a header or transaction: the end of the year 9999, in ms since 1970. */
export const MAX_TIME = 253_402_300_799_999;
/** Most lanes that one key may write on: a ledger's state keeps the last `seq` of each for ever. */
export const MAX_LANES = 1024;
/** Most nonces of approved changes kept at a time. */
export const MAX_OPEN_NONCES = 10_000;
