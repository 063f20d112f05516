import * as noble from "../../src/crypto/noble.ts";
import * as node from "../../src/crypto/node.ts";
import type { CryptoBackend } from "../../src/crypto/provider.ts";

/** Both backends by name; that they fit the interface is checked by the compiler here. */
export const backends: readonly (readonly [string, CryptoBackend])[] = [
  ["noble", noble satisfies CryptoBackend],
  ["node", node satisfies CryptoBackend],
];
