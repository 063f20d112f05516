import { cidOf, DAG_CBOR, type CID } from "../codec/cid.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import {
  expectArray,
  expectCid,
  expectMap,
  expectOneOf,
  expectString,
  expectVersion,
} from "../codec/shape.ts";
import { expectActor } from "../block/key.ts";
import { EncodingError } from "../errors.ts";
import { expectCallSchema, expectMapOf, expectName, type CallSchema } from "./call-schema.ts";

/** Who holds a role of a contract, and who may change that. */
export interface RoleTerms {
  /** The holders until a call of the built-in action `roles` changes them. */
  readonly holders: readonly string[];
  /** The role whose holders may change the holders of this one; `null`: nobody. */
  readonly changedBy: string | null;
}

/** One version of a contract. Its CID is the `rule` that a ledger's policy registers. */
export interface ContractManifest {
  readonly name: string;
  /** What runs the code, `native/1` for contracts made by {@link defineContract}. */
  readonly engine: string;
  /** CID of the code, so that members can tell whether they install the same. */
  readonly code: CID;
  readonly roles: Readonly<Record<string, RoleTerms>>;
  readonly actions: Readonly<Record<string, ActionTerms>>;
  /** Values that the code may read: any data without floats. */
  readonly config: unknown;
}

/** The form of an action's calls, and who may make them. */
export interface ActionTerms {
  /** Names of roles; `member` is every member of the ledger. */
  readonly roles: readonly string[];
  readonly schema: CallSchema;
}

/** The action that every contract has: it changes who holds a role. */
export const ROLES_ACTION = "roles";
/** The role that every member of the ledger has. */
export const EVERY_MEMBER = "member";
/** Most actors that hold one role. */
export const MAX_HOLDERS = 128;
/** Longest manifest, in bytes. */
export const MAX_MANIFEST_BYTES: number = 64 * 1024;
const MAX_ACTIONS = 64;
const MAX_ROLES = 32;

/**
 * Writes a manifest as canonical bytes.
 *
 * @throws {EncodingError} when it is not well formed
 * @example
 * const rule = ruleOf(encodeManifest(counter.manifest)); // counter.rule
 */
export function encodeManifest(manifest: ContractManifest): Uint8Array {
  const { actions, ...rest } = manifest;
  const schemas = Object.entries(actions).map(([name, { schema }]) => [name, schema]);
  const entitled = Object.entries(actions).map(([name, { roles }]) => [name, roles]);
  const bytes = encode({
    ...{ v: 1, ...rest },
    ...{ schemas: Object.fromEntries(schemas), entitled: Object.fromEntries(entitled) },
  });
  decodeManifest(bytes);
  return bytes;
}

/**
 * Reads a manifest.
 *
 * @throws {EncodingError} when the bytes are not the canonical form of a manifest
 * @example
 * const { name, code, actions } = decodeManifest(encodeManifest(counter.manifest));
 */
export function decodeManifest(bytes: Uint8Array): ContractManifest {
  const limits = { maxBytes: MAX_MANIFEST_BYTES, maxDepth: 16, maxItems: 20_000 };
  const map = expectMap(decode(bytes, limits), "manifest", [
    ...["v", "name", "engine", "code", "roles", "schemas", "entitled", "config"],
  ]);
  expectVersion(map["v"], "manifest");
  const roles = expectRoleTerms(map["roles"]);
  const known = [...Object.keys(roles), EVERY_MEMBER];
  const schemas = expectMapOf(map["schemas"], "manifest.schemas", MAX_ACTIONS);
  const entitled = expectMap(map["entitled"], "manifest.entitled", Object.keys(schemas));
  const actions = Object.entries(schemas).map(([name, schema]) => {
    const what = `manifest.schemas.${expectName(name, "manifest.schemas")}`;
    if (name === ROLES_ACTION) throw wrong(`the action ${ROLES_ACTION} is built in`);
    const holders = expectArray(entitled[name], what, MAX_ROLES);
    const terms: ActionTerms = {
      roles: distinct(
        holders.map((role) => expectOneOf(role, what, known)),
        what,
      ),
      schema: expectCallSchema(schema, what),
    };
    return [name, terms] as const;
  });
  return {
    name: expectName(map["name"], "manifest.name"),
    engine: expectString(map["engine"], "manifest.engine", 64),
    code: expectCid(map["code"], "manifest.code"),
    roles,
    actions: Object.fromEntries(actions),
    config: map["config"],
  };
}

/**
 * The CID of a manifest, by which a ledger's policy and every call name this version.
 *
 * @example
 * const contracts = [{ name: "counter", rule: ruleOf(encodeManifest(counter.manifest)), from: 0 }];
 */
export function ruleOf(manifest: Uint8Array): CID {
  return cidOf(manifest, DAG_CBOR);
}

function expectRoleTerms(value: unknown): ContractManifest["roles"] {
  const entries = Object.entries(expectMapOf(value, "manifest.roles", MAX_ROLES));
  const names = entries.map(([name]) => name);
  const terms = entries.map(([name, item]) => {
    const what = `manifest.roles.${expectName(name, "manifest.roles")}`;
    if (name === EVERY_MEMBER) throw wrong(`the role ${EVERY_MEMBER} is built in`);
    const fields = expectMap(item, what, ["holders", "changedBy"]);
    const holders = expectHolders(fields["holders"], what);
    const by = fields["changedBy"];
    return [
      name,
      { holders, changedBy: by === null ? null : expectOneOf(by, what, names) },
    ] as const;
  });
  return Object.fromEntries(terms);
}

/** Reads the holders of a role: distinct and sorted, so that one set has one encoding. */
export function expectHolders(value: unknown, what: string): readonly string[] {
  const holders = expectArray(value, what, MAX_HOLDERS).map((actor) => expectActor(actor, what));
  for (let i = 1; i < holders.length; i++) {
    if (holders[i - 1]! >= holders[i]!) throw wrong(`${what} must be distinct and sorted`);
  }
  return holders;
}

function distinct(items: readonly string[], what: string): readonly string[] {
  if (new Set(items).size < items.length) throw wrong(`${what} must be distinct`);
  return items;
}

const wrong = (message: string) => new EncodingError("ERR_ENCODING_SHAPE", message);
