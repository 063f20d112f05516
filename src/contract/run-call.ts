import { toHex } from "../bytes/hex.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import type { Fields } from "../codec/shape.ts";
import { EncodingError } from "../errors.ts";
import { expectCall, type CallSchema } from "./call-schema.ts";
import type { Contract, ContractContext } from "./contract.ts";
import { EVERY_MEMBER, expectHolders, MAX_HOLDERS, ROLES_ACTION } from "./manifest.ts";

/** Most reads and writes of one call, spent tags included. */
export const MAX_CALL_STEPS = 64;
/** Longest value, in bytes when encoded. */
export const MAX_VALUE_BYTES = 8192;

/** Keys of the state that one block knows of so far. */
export interface LoadedState {
  /** Whether `get` can tell a key's value, or that it has none. */
  isLoaded(key: string): boolean;
  /** @returns the value, borrowed; `undefined` if the key has none */
  get(key: string): Uint8Array | undefined;
}

/** One call, with all that decides what it does beside the state. */
export interface ContractCall {
  readonly action: string;
  /** As it stands in the entry. */
  readonly call: unknown;
  readonly author: string;
  readonly height: number;
  /** The block's time, in ms. */
  readonly time: number;
}

/** What a call did. */
export type CallOutcome =
  | { readonly changes: ReadonlyMap<string, Uint8Array | null> }
  /** Why it was refused: the contract's own code, or one of {@link CALL_CODES}. */
  | { readonly refused: string }
  /** Nothing is known yet: it must run again once these keys are loaded. */
  | { readonly unread: readonly string[] };

/** Codes with which a call is refused by the library, not by the contract. */
export const CALL_CODES = [
  "unknown-action",
  "not-entitled",
  "malformed-call",
  "already-spent",
  "bad-key",
  "bad-value",
  "bad-tag",
  "bad-code",
  "over-limit",
  "threw",
  "not-synchronous",
  "no-such-change",
] as const;

/**
 * The key of the state under which a contract keeps a value: what a light client asks a proof for.
 *
 * @example
 * contractKey("counter", "total"); // "c/counter/key/total"
 */
export const contractKey = (name: string, key: string): string => `c/${name}/key/${key}`;
/**
 * The key of the state that says whether a tag is spent.
 *
 * @example
 * spentKey("plan-a", onceTag(secret, ledger, "plan-a", ["accumulators", 7]));
 */
export const spentKey = (name: string, tag: Uint8Array): string => `c/${name}/once/${toHex(tag)}`;
/**
 * The key of the state that holds who has a role, once that was changed.
 *
 * @example
 * roleKey("plan-a", "payer"); // "c/plan-a/role/payer"
 */
export const roleKey = (name: string, role: string): string => `c/${name}/role/${role}`;

const KEY = /^[\w./:-]{1,128}$/;
const CODE = /^[a-z][a-z0-9-]{0,63}$/;
const SPENT: Uint8Array = /* @__PURE__ */ encode(true);
const HOLDERS_CHANGE: CallSchema = {
  add: { type: "list", of: { type: "actor" }, most: MAX_HOLDERS },
  remove: { type: "list", of: { type: "actor" }, most: MAX_HOLDERS },
};

/**
 * Checks a key of a contract's values.
 *
 * @throws {EncodingError} `ERR_ENCODING_SHAPE`
 */
export function expectKey(key: unknown): string {
  if (typeof key === "string" && KEY.test(key)) return key;
  throw new EncodingError("ERR_ENCODING_SHAPE", "a key must be 1 to 128 letters, digits and -_./:");
}

/** Ends a run of the code. The code may catch it: what ended the run is kept outside. */
class Ended extends Error {}

/**
 * Runs one call of a contract. Pure: the same contract, call and state give the same outcome on every
 * node.
 *
 * @param before - the state before the block, which says who has which role
 * @param within - the state as earlier calls of the block left it
 */
export function runCall(
  contract: Contract,
  given: ContractCall,
  before: LoadedState,
  within: LoadedState,
): CallOutcome {
  const { manifest } = contract;
  const { action } = given;
  const builtIn = action === ROLES_ACTION;
  const terms = Object.hasOwn(manifest.actions, action) ? manifest.actions[action]! : undefined;
  if (terms === undefined && !builtIn) return { refused: "unknown-action" };
  let call: Fields;
  try {
    // A copy for each run, so that code which changes its argument changes nothing for the next.
    call = builtIn
      ? expectRolesCall(decode(encode(given.call)), Object.keys(manifest.roles))
      : expectCall(terms!.schema, decode(encode(given.call)), "call");
  } catch (error) {
    if (error instanceof EncodingError) return { refused: "malformed-call" };
    throw error;
  }
  const roles = rolesOf(contract, given.author, before);
  if ("unread" in roles) return roles;
  if (builtIn) return changeRoles(contract, call, roles.held, within);
  if (!terms!.roles.some((role) => roles.held.includes(role))) return { refused: "not-entitled" };
  return runCode(contract, { ...given, call }, roles.held, within);
}

/** The roles of an actor before the block. */
function rolesOf(
  { manifest }: Contract,
  actor: string,
  before: LoadedState,
): { readonly held: readonly string[] } | { readonly unread: readonly string[] } {
  const names = Object.keys(manifest.roles);
  const unread = unloaded(
    names.map((role) => roleKey(manifest.name, role)),
    before,
  );
  if (unread.length > 0) return { unread };
  const held = names.filter((role) => holdersOf(manifest, role, before).includes(actor));
  return { held: Object.freeze([EVERY_MEMBER, ...held]) };
}

function holdersOf(
  manifest: Contract["manifest"],
  role: string,
  state: LoadedState,
): readonly string[] {
  const value = state.get(roleKey(manifest.name, role));
  if (value === undefined) return manifest.roles[role]!.holders;
  return expectHolders(decode(value), "holders");
}

const unloaded = (keys: readonly string[], state: LoadedState): readonly string[] =>
  keys.filter((key) => !state.isLoaded(key));

const expectRolesCall = (call: unknown, roles: readonly string[]): Fields =>
  expectCall({ ...HOLDERS_CHANGE, role: { type: "word", of: roles } }, call, "call");

/** The built-in action: who holds a role from the next block on. */
function changeRoles(
  { manifest }: Contract,
  call: Fields,
  held: readonly string[],
  within: LoadedState,
): CallOutcome {
  const role = call["role"] as string;
  const add = call["add"] as readonly string[];
  const remove = call["remove"] as readonly string[];
  const { changedBy } = manifest.roles[role]!;
  if (changedBy === null || !held.includes(changedBy)) return { refused: "not-entitled" };
  const key = roleKey(manifest.name, role);
  const unread = unloaded([key], within);
  if (unread.length > 0) return { unread };
  const holders = new Set(holdersOf(manifest, role, within));
  const named = new Set([...add, ...remove]);
  // A change that was made already, or that undoes itself, is a mistake of its author.
  const stands =
    named.size === add.length + remove.length &&
    named.size > 0 &&
    add.every((actor) => !holders.has(actor)) &&
    remove.every((actor) => holders.has(actor));
  if (!stands) return { refused: "no-such-change" };
  for (const actor of add) holders.add(actor);
  for (const actor of remove) holders.delete(actor);
  if (holders.size > MAX_HOLDERS) return { refused: "over-limit" };
  return { changes: new Map([[key, encode([...holders].sort())]]) };
}

/** Runs a contract's code, which sees and changes nothing but what its context gives. */
function runCode(
  contract: Contract,
  given: ContractCall,
  roles: readonly string[],
  within: LoadedState,
): CallOutcome {
  const { name, config } = contract.manifest;
  const changes = new Map<string, Uint8Array | null>();
  const unread = new Set<string>();
  let refused: string | undefined;
  let steps = 0;
  let over = false;

  function fail(code: string): never {
    refused ??= code;
    throw new Ended();
  }

  /** Counts a step, and sees to it that what a key holds is known. */
  function reach(key: string): string {
    if (over || refused !== undefined || unread.size > 0) throw new Ended();
    steps++;
    if (steps > MAX_CALL_STEPS) fail("over-limit");
    if (!changes.has(key) && !within.isLoaded(key)) {
      unread.add(key);
      throw new Ended();
    }
    return key;
  }

  function own(key: unknown): string {
    if (typeof key !== "string" || !KEY.test(key)) fail("bad-key");
    return contractKey(name, key);
  }

  const read = (key: string): Uint8Array | undefined =>
    changes.has(key) ? (changes.get(key) ?? undefined) : within.get(key);

  function encoded(value: unknown): Uint8Array {
    let bytes: Uint8Array;
    try {
      bytes = encode(value);
    } catch {
      return fail("bad-value");
    }
    return bytes.length > MAX_VALUE_BYTES ? fail("over-limit") : bytes;
  }

  const context: ContractContext = {
    ...{ height: given.height, time: given.time, author: given.author, roles },
    config: decode(encode(config)),
    get(key) {
      const value = read(reach(own(key)));
      return value === undefined ? undefined : decode(value);
    },
    set(key, value) {
      const at = own(key);
      const bytes = encoded(value);
      changes.set(reach(at), bytes);
    },
    delete(key) {
      changes.set(reach(own(key)), null);
    },
    spend(tag) {
      if (!(tag instanceof Uint8Array) || tag.length !== 32) fail("bad-tag");
      const at = reach(spentKey(name, tag));
      if (read(at) !== undefined) fail("already-spent");
      changes.set(at, SPENT);
    },
    fail: (code) => fail(typeof code === "string" && CODE.test(code) ? code : "bad-code"),
  };
  try {
    const result = contract.run(given.action, given.call, Object.freeze(context)) as unknown;
    if (result instanceof Promise) {
      result.catch(() => undefined);
      refused ??= "not-synchronous";
    }
  } catch {
    if (unread.size === 0) refused ??= "threw";
  } finally {
    over = true;
  }
  if (unread.size > 0) return { unread: [...unread] };
  return refused === undefined ? { changes } : { refused };
}
