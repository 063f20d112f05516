// Peers have a package of their own, which is not installed where only types are checked, and some
// come without types that fit.
declare module "@aws-sdk/client-s3";
declare module "@cedar-policy/cedar-wasm/nodejs";
declare module "@hpke/core";
declare module "age-encryption";
declare module "better-sqlite3";
declare module "hypercore";
declare module "merkletreejs";
