// Peers have a package of their own, which is not installed where only types are checked.
declare module "@cedar-policy/cedar-wasm/nodejs";
declare module "@hpke/core";
declare module "age-encryption";
