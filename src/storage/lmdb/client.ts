/**
 * The part of the `lmdb` package (3.x) that the adapter uses, so that nothing here imports it.
 * Keys and values are bytes (`keyEncoding: "binary"`, `encoding: "binary"`).
 */
export interface LmdbClient {
  open(options: LmdbOpenOptions): LmdbEnvironment;
}

export interface LmdbOpenOptions {
  readonly path: string;
  readonly maxDbs: number;
  readonly maxReaders: number;
  readonly overlappingSync: boolean;
  readonly eventTurnBatching: boolean;
  readonly permissionsMode: number;
  readonly keyEncoding: "binary";
  readonly encoding: "binary";
}

export interface LmdbRange {
  readonly start: Uint8Array;
  readonly end?: Uint8Array;
  readonly limit?: number;
  readonly reverse?: boolean;
  readonly exclusiveStart?: boolean;
  readonly inclusiveEnd?: boolean;
}

export interface LmdbDatabase {
  /** @returns a copy */
  get(key: Uint8Array): Uint8Array | undefined;
  /** @returns a buffer that the next read overwrites; its size is in `lastSize` */
  getBinaryFast(key: Uint8Array): Uint8Array | undefined;
  readonly lastSize: number;
  getRange(options: LmdbRange): Iterable<{ key: Uint8Array; value: Uint8Array }>;
  getKeys(options: LmdbRange): Iterable<Uint8Array>;
  /** @returns whether it was put; with `append`, `false` when the key is not the last */
  putSync(key: Uint8Array, value: Uint8Array, options?: { readonly append?: boolean }): boolean;
  removeSync(key: Uint8Array): boolean;
}

export interface LmdbEnvironment extends LmdbDatabase {
  openDB(options: {
    readonly name: string;
    readonly keyEncoding: "binary";
    readonly encoding: "binary";
  }): LmdbDatabase;
  /**
   * Runs the function in a write transaction, which it may share with others, and resolves when it
   * is flushed. Throwing does not undo what the function wrote before.
   */
  transaction<T>(action: () => T): Promise<Awaited<T>>;
  /** The action must not return a promise: the transaction would stay open. */
  transactionSync(action: () => void): void;
  resetReadTxn(): void;
  close(): Promise<void>;
}

/**
 * Reads a value without copying it to the heap.
 *
 * @returns borrowed: the next read of anything overwrites it
 */
export function peek(database: LmdbDatabase, key: Uint8Array): Uint8Array | undefined {
  const bytes = database.getBinaryFast(key);
  return bytes && new Uint8Array(bytes.buffer, bytes.byteOffset, database.lastSize);
}

/**
 * Puts a value, preferably under a key after all others: LMDB then fills pages completely, and
 * otherwise leaves half of each page free for later keys.
 *
 * @returns whether the key was after all others
 */
export function putBehind(database: LmdbDatabase, key: Uint8Array, value: Uint8Array): boolean {
  if (database.putSync(key, value, { append: true })) return true;
  database.putSync(key, value);
  return false;
}
