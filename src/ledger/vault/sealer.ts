/** Seals a value under a key and its name. */
export interface Sealer {
  seal(key: Uint8Array, name: Uint8Array, value: Uint8Array): Uint8Array;
  open(key: Uint8Array, name: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
}
