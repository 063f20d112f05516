// The part of IndexedDB that the adapter uses, so that no program needs the types of a browser.

/** A key: numbers come before texts, texts before bytes, bytes before arrays. */
export type IndexeddbKey = number | string | Uint8Array | readonly IndexeddbKey[];

/** A `DOMException`. */
export interface IndexeddbFailure {
  readonly name: string;
  readonly message: string;
}

/** Events as they are read and stopped. */
export interface IndexeddbEvent {
  preventDefault(): void;
  stopPropagation(): void;
}

/** A target of events. */
export interface IndexeddbEvents {
  addEventListener(type: string, listener: (event: IndexeddbEvent) => void): void;
}

/** `IDBRequest`. */
export interface IndexeddbRequest extends IndexeddbEvents {
  readonly result: unknown;
  readonly error: IndexeddbFailure | null;
}

/** `IDBObjectStore`. */
export interface IndexeddbObjectStore {
  get(key: unknown): IndexeddbRequest;
  getKey(key: unknown): IndexeddbRequest;
  getAll(range: unknown, count?: number): IndexeddbRequest;
  getAllKeys(range?: unknown, count?: number): IndexeddbRequest;
  count(): IndexeddbRequest;
  openCursor(range: unknown, direction: "prev"): IndexeddbRequest;
  openKeyCursor(range: unknown, direction: "prev"): IndexeddbRequest;
  add(value: unknown, key: unknown): IndexeddbRequest;
  put(value: unknown, key: unknown): IndexeddbRequest;
  delete(key: unknown): IndexeddbRequest;
}

/** `IDBCursorWithValue`. */
export interface IndexeddbCursor {
  readonly key: unknown;
  readonly value: unknown;
  continue(): void;
}

/** `IDBTransaction`. */
export interface IndexeddbTransaction extends IndexeddbEvents {
  /** Absent in browsers that know no durability. */
  readonly durability?: string;
  readonly error: IndexeddbFailure | null;
  objectStore(name: string): IndexeddbObjectStore;
  commit?(): void;
  abort(): void;
}

/** `IDBDatabase`. */
export interface IndexeddbDatabase extends IndexeddbEvents {
  readonly objectStoreNames: { contains(name: string): boolean };
  createObjectStore(name: string): unknown;
  transaction(
    stores: string[],
    mode: "readonly" | "readwrite",
    options: { readonly durability: "strict" | "relaxed" },
  ): IndexeddbTransaction;
  close(): void;
}

/** `IDBFactory`, as `globalThis.indexedDB` is one. */
export interface IndexeddbFactory {
  open(name: string, version: number): IndexeddbRequest;
}

/** The constructor of key ranges, as `globalThis.IDBKeyRange` is one. */
export interface IndexeddbKeyRange {
  bound(lower: unknown, upper: unknown, lowerOpen: boolean, upperOpen: boolean): unknown;
  lowerBound(lower: unknown, open: boolean): unknown;
}
