import { text, type FhirResource } from "./resource.ts";

/** A resource as the server that it comes from names it. */
export interface ServerName {
  readonly type: string;
  readonly id: string;
  /** The server's URL, with a slash at its end, if the entry states it. */
  readonly base?: string;
}

/** The parts of a bundle entry that name a resource. */
export interface NamingEntry {
  readonly resource?: FhirResource;
  readonly fullUrl?: string;
  readonly request?: { readonly method: string; readonly url: string };
}

const ID = /^[A-Za-z0-9\-.]{1,64}$/;
const RESTFUL =
  /^(https?:\/\/.*\/)?([A-Z][A-Za-z]{1,63})\/([A-Za-z0-9\-.]{1,64})(?:\/_history\/[^/]+)?$/i;

const PARTS = /^(https?):\/\/([^/@]*@)?([^/]*)(.*)$/is;

/** Type, id and server in a RESTful URL, absolute or relative. */
export function serverNameIn(url: string | undefined): ServerName | undefined {
  const [, base, type, id] = RESTFUL.exec(url ?? "") ?? [];
  if (type === undefined || id === undefined || !/^[A-Z]/.test(type)) return undefined;
  return { type, id, ...(base !== undefined && { base: oneForm(base) }) };
}

/**
 * A server's URL in the one form that all equal ones have.
 *
 * @see RFC 3986 §6.2.2.1, §6.2.3 (scheme and host ignore case, and a default port can be left out)
 */
function oneForm(base: string): string {
  const [, scheme = "", user = "", host = "", path = ""] = PARTS.exec(base) ?? [];
  const port = scheme.toLowerCase() === "http" ? /:(?:80)?$/ : /:(?:443)?$/;
  return `${scheme.toLowerCase()}://${user}${host.toLowerCase().replace(port, "")}${path}`;
}

/** Whether two names, each with the server's URL if it is stated, can be of one server. */
export const isSameServer = (one: string | undefined, other: string | undefined): boolean =>
  one === undefined || other === undefined || one === other;

/**
 * The name by which a server knows the resource of an entry, or that it deletes: from the resource's
 * `id`, the entry's `fullUrl` and the URL of its request.
 *
 * The id of a resource that is yet to be created (`POST`, except in a history) is not its name at
 * the server, unless it is a UUID that `fullUrl` repeats: nobody uses that for something else.
 *
 * @param type - `Bundle.type`
 * @returns `undefined` if nothing names it; `"unclear"` if its names differ
 * @see FHIR R4 §2.36.4 (Bundle.entry.fullUrl), §3.1.0.11.2 (transactions)
 */
export function nameAtServer(
  { resource, fullUrl, request }: NamingEntry,
  type: string,
): ServerName | "unclear" | undefined {
  const id = text(resource?.["id"]);
  const address = serverNameIn(fullUrl);
  const isCreated = request?.method === "POST" && type !== "history";
  if (isCreated && address === undefined && !isOwnUuid(fullUrl, id)) return undefined;
  const names = [
    resource !== undefined && id !== undefined && ID.test(id)
      ? { type: resource.resourceType, id }
      : undefined,
    address,
    isCreated || request === undefined ? undefined : serverNameIn(request.url),
  ].filter((name) => name !== undefined);
  const [name] = names;
  if (name === undefined) return undefined;
  const bases = new Set(names.flatMap(({ base }) => base ?? []));
  const isOne =
    names.every((one) => one.id === name.id && one.type === name.type) &&
    (resource === undefined || resource.resourceType === name.type) &&
    bases.size < 2;
  if (!isOne) return "unclear";
  const [base] = bases;
  return { type: name.type, id: name.id, ...(base !== undefined && { base }) };
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const isOwnUuid = (fullUrl: string | undefined, id: string | undefined): boolean =>
  id !== undefined && UUID.test(id) && fullUrl?.toLowerCase() === `urn:uuid:${id.toLowerCase()}`;
