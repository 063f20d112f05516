import type { StorageAdapter } from "../storage/types.ts";
import { checkSame, type KitRun } from "./kit.ts";
import {
  withStorage,
  type StorageCase,
  type StorageFeature,
  type StorageSubject,
} from "./storage-subject.ts";

/** The claims of a storage, by its stores and its caps, each with the feature that tests it. */
function claimsOf(storage: StorageAdapter): Map<StorageFeature, string> {
  const { chains, blobs, state, commit, compact } = storage;
  const claims = new Map<StorageFeature, string>();
  for (const [name, part] of Object.entries({ chains, blobs, state, commit, compact })) {
    if (part) claims.set(name as StorageFeature, `storage.${name}`);
  }
  if (chains?.caps.tail) claims.set("tail", "caps.tail");
  for (const { caps } of [chains, blobs, state].flatMap((store) => store ?? [])) {
    if (caps.multiProcess) claims.set("processes", "caps.multiProcess");
    if (caps.durability === "none") continue;
    const claim = `caps.durability "${caps.durability}"`;
    claims.set("reopen", claim);
    claims.set("kill", claim);
    if (caps.durability !== "process") claims.set("traced", claim);
  }
  return claims;
}

/** Conditions that a subject must be able to stage. */
const STAGED: { readonly [feature in StorageFeature]?: keyof StorageSubject } = {
  kill: "startProcess",
  processes: "startProcess",
  traced: "startTraced",
};

function untried(
  claims: ReadonlyMap<StorageFeature, string>,
  subject: StorageSubject,
  kitRun: KitRun<StorageFeature> | undefined,
): string[] {
  return [...claims].flatMap(([feature, claim]) => {
    if (subject.notTried?.includes(feature)) return [];
    const staged = STAGED[feature];
    if (staged && !subject[staged]) return `${claim}: the subject has no ${staged}`;
    if (!kitRun) return [];
    if (!kitRun.features.includes(feature)) return `${claim}: "${feature}" is not offered`;
    // A selection of cases need not include all that one process can test.
    if (staged && !kitRun.required.includes(feature)) {
      return `${claim}: no case that requires "${feature}" is in the run`;
    }
    return [];
  });
}

/** The case that fails if cases are skipped that test a claim of the adapter. */
export const claimCases: readonly StorageCase[] = [
  {
    name: "caps: all that is claimed is tried, or the subject says what is not",
    requires: [],
    run: (make, kitRun) =>
      withStorage(make, async (storage, subject) => {
        const found = untried(claimsOf(storage), subject, kitRun);
        checkSame(found, [], "claimed and not tried (to be offered, or named in notTried)");
      }),
  },
];
