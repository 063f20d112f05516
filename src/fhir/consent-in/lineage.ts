import { isPlaceholder } from "../placeholder.ts";
import type { JsonObject } from "../resource.ts";
import type { FromConsentOptions } from "./options.ts";
import { invalid, items, optionalText, token, unsupported } from "./refuse.ts";
import { NAME_SYSTEM } from "./values.ts";

/**
 * Names the chain of statements that a Consent belongs to: it replaces or revokes only statements
 * of this chain. So the name must be one that no other server gives to another Consent.
 */
export function readLineage(resource: JsonObject, options: FromConsentOptions): string {
  const { lineage, fullUrl } = options;
  if (lineage !== undefined) return lineage;
  if (fullUrl !== undefined) return addressOf(resource, fullUrl);
  const names = new Set<string>();
  for (const { value: one, path } of items(resource["identifier"], "Consent.identifier")) {
    const system = optionalText(one["system"], `${path}.system`);
    if (system === undefined) continue; // leaves its value unread, so that it is reported as lost
    const value = optionalText(one["value"], `${path}.value`);
    if (value === undefined) continue;
    if (system === NAME_SYSTEM) names.add(value);
    else if (!isPlaceholder(value)) names.add(token(system, value, path));
  }
  const [only] = names;
  if (names.size > 1) {
    // The next version may list them in another order, or list only one of them.
    throw unsupported(
      "Consent.identifier",
      "names the consent in several ways: pass lineage or fullUrl",
    );
  }
  if (only !== undefined) return only;
  throw unsupported(
    "Consent.identifier",
    "has no system and value, and an id is unique on one server only:  " +
      "pass fullUrl or lineage",
  );
}

/** The address of a Consent on its server, normalised. */
function addressOf(resource: JsonObject, fullUrl: string): string {
  const url = URL.canParse(fullUrl) ? new URL(fullUrl) : undefined;
  const id = /\/Consent\/([A-Za-z0-9\-.]{1,64})$/.exec(url?.pathname ?? "")?.[1];
  const isPlain = url?.search === "" && url.hash === "" && url.username === "";
  if (url === undefined || !/^https?:$/.test(url.protocol) || id === undefined || !isPlain) {
    throw new TypeError(
      "fullUrl must be the address of a Consent on a server, such as https://…/Consent/1",
    );
  }
  if (optionalText(resource["id"], "Consent.id") !== id) {
    throw invalid("Consent.id", "differs from the id at the end of fullUrl");
  }
  return url.href;
}
