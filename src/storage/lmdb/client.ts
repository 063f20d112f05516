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
  doesExist(key: Uint8Array): boolean;
  getRange(options: LmdbRange): Iterable<{ key: Uint8Array; value: Uint8Array }>;
  getKeys(options: LmdbRange): Iterable<Uint8Array>;
  put(key: Uint8Array, value: Uint8Array, options?: { readonly append?: boolean }): unknown;
  remove(key: Uint8Array): unknown;
}

export interface LmdbEnvironment extends LmdbDatabase {
  openDB(options: {
    readonly name: string;
    readonly keyEncoding: "binary";
    readonly encoding: "binary";
  }): LmdbDatabase;
  /** Runs the function in a write transaction of its own; throwing undoes what it wrote. */
  childTransaction<T>(action: () => T): Promise<Awaited<T>>;
  transaction<T>(action: () => T): Promise<Awaited<T>>;
  /** The action must not return a promise, as `put` does: the transaction would stay open. */
  transactionSync(action: () => void): void;
  resetReadTxn(): void;
  close(): Promise<void>;
}
