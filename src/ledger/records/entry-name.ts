import { sha256 } from "#crypto";
import { toHex } from "../../bytes/hex.ts";
import { utf8ToBytes } from "../../bytes/utf8.ts";
import { isObject, trimmed } from "../../fhir/resource.ts";
import { nameAtServer, type NamingEntry, type ServerName } from "../../fhir/source-name.ts";

/**
 * The name by which a source knows the resource of an entry, or that it deletes. A document or message that has no
 * id is known by its identifier, which no other has.
 *
 * @param type - `Bundle.type`
 * @returns `undefined` if nothing names it; `"unclear"` if its names differ
 */
export function nameOfEntry(entry: NamingEntry, type: string): ServerName | "unclear" | undefined {
  const name = nameAtServer(entry, type);
  const { resource } = entry;
  if (name !== undefined || resource?.resourceType !== "Bundle") return name;
  const identifier = isObject(resource["identifier"]) ? resource["identifier"] : {};
  const system = trimmed(identifier["system"]);
  const value = trimmed(identifier["value"]);
  if (system === undefined || value === undefined) return undefined;
  // No id can be written like this.
  const digest = toHex(sha256(utf8ToBytes(JSON.stringify([system, value]))));
  return { type: "Bundle", id: `#${digest.slice(0, 63)}` };
}
