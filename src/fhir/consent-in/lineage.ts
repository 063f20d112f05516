import { isPlaceholder } from "../placeholder.ts";
import type { JsonObject } from "../resource.ts";
import type { FromConsentOptions } from "./options.ts";
import { invalid, items, optionalText, token, unsupported } from "./refuse.ts";
import { NAME_SYSTEM } from "./values.ts";

/**
 * Names the chain of statements that a Consent belongs to: what it replaces or revokes is in there,
 * and nothing else. So the name must be one that no other server gives to another Consent.
 */
export function readLineage(resource: JsonObject, options: FromConsentOptions): string {
  const { lineage, fullUrl } = options;
  if (lineage !== undefined) return lineage;
  if (fullUrl !== undefined) return addressOf(resource, fullUrl);
  const names = new Set<string>();
  for (const { value: one, path } of items(resource["identifier"], "Consent.identifier")) {
    const system = optionalText(one["system"], `${path}.system`);
    if (system === undefined) continue; // its value stays unread, and is told of
    const value = optionalText(one["value"], `${path}.value`);
    if (value === undefined) continue;
    if (system === NAME_SYSTEM) names.add(value);
    else if (!isPlaceholder(value)) names.add(token(system, value, path));
  }
  const [only] = names;
  if (names.size > 1) {
    // Its next version may list them in another order, or list one of them only.
    throw unsupported("Consent.identifier", "names it in several ways: pass lineage or fullUrl");
  }
  if (only !== undefined) return only;
  throw unsupported(
    "Consent.identifier",
    "does not name it by system and value, and its id is one on its server only, another's on " +
      "others: pass fullUrl or lineage",
  );
}

/** The address of a Consent on its server, written in one way. */
function addressOf(resource: JsonObject, fullUrl: string): string {
  const url = URL.canParse(fullUrl) ? new URL(fullUrl) : undefined;
  const id = /\/Consent\/([A-Za-z0-9\-.]{1,64})$/.exec(url?.pathname ?? "")?.[1];
  const isPlain = url?.search === "" && url.hash === "" && url.username === "";
  if (url === undefined || !/^https?:$/.test(url.protocol) || id === undefined || !isPlain) {
    throw new TypeError(
      "fullUrl is no address of a Consent on a server, such as https://…/Consent/1",
    );
  }
  if (optionalText(resource["id"], "Consent.id") !== id) {
    throw invalid("Consent.id", "is not the one at the end of fullUrl");
  }
  return url.href;
}
