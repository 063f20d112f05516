/** Entry kinds that this library defines; a policy cannot register them. */
export const BUILT_IN_KINDS = [
  "record",
  "consent",
  "access",
  "erase",
  "link",
  "key",
  "member",
  "policy",
  "contract",
] as const;
