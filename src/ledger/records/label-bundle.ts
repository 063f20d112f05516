import { isNormal, labelsOfBoth } from "../../consent/labels/unite-labels.ts";
import type { LabelOptions } from "../../consent/labels/labeller.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import { entriesOf } from "../../fhir/inner-resources.ts";
import { type Addressable, referenceResolver } from "../../fhir/references.ts";
import { type FhirResource, isObject, list } from "../../fhir/resource.ts";
import { serverNameIn } from "../../fhir/source-name.ts";

/**
 * Labels a Bundle that is kept as a whole: by the labels of its resources, and by those that it bears itself.
 *
 * @param label - labels one resource
 */
export async function labelBundle(
  bundle: FhirResource,
  options: LabelOptions,
  label: (resource: FhirResource, options: LabelOptions) => Promise<ResourceLabels | null>,
): Promise<ResourceLabels | null> {
  const entries = entriesOf(bundle);
  const home = new Map<object, Addressable>(entries.map((one) => [one.resource, one]));
  const find = findVersions(entries);
  const inside: LabelOptions = {
    ...options,
    resolve(reference, from) {
      const entry = home.get(from);
      const found = entry === undefined ? [] : find(reference, entry);
      if (found.length > 0) return found.map((one) => one.resource);
      return options.resolve?.(reference, entry === undefined ? from : bundle);
    },
  };
  // What the Bundle says of itself is no health data, as what an organisation says of itself is none.
  const { meta } = bundle;
  const itself = { resourceType: "Organization", ...(meta !== undefined && { meta }) };
  let all = await label(itself, options);
  if (!isPlainBundle(bundle) && all !== null) all = { ...all, stamp: null };
  for (const { resource } of entries) all = labelsOfBoth(all, await label(resource, inside));
  if (all === null) return null;
  const found = all.codes.filter((code) => !isNormal(code));
  if (found.length === 0 && all.stamp === null) return null;
  return found.length === 0 ? all : { ...all, codes: found };
}

/** Makes the function that resolves a literal reference to every version of one resource. */
export function findVersions<T extends Addressable>(
  entries: readonly T[],
): (reference: string, from: Addressable) => readonly T[] {
  let resolve: ReturnType<typeof referenceResolver> | undefined;
  return (reference, from) => {
    resolve ??= referenceResolver(entries, undefined);
    const found = resolve({ reference }, from);
    return found.kind === "entry" ? found.versions.map((index) => entries[index]!) : [];
  };
}

type Test = (value: unknown) => boolean;

const isShort: Test = (value) =>
  typeof value === "string" && /^[A-Za-z0-9.:+\-/"]{1,64}$/.test(value);
const isCount: Test = (value) => typeof value === "number";
/** An address that says no more than an id does. */
const isAddress: Test = (value) =>
  typeof value === "string" &&
  (/^urn:(?:uuid|oid):[0-9a-f.-]{1,64}$/i.test(value) || serverNameIn(value) !== undefined);
const isObjectOf =
  (members: Readonly<Record<string, Test>>): Test =>
  (value) =>
    isObject(value) &&
    Object.keys(value).every((name) => Object.hasOwn(members, name) && members[name]!(value[name]));
const isAnything: Test = () => true;
const isResource: Test = (value) => isObject(value) && typeof value["resourceType"] === "string";

const isIdentifier = isObjectOf({
  system: (value) => typeof value === "string",
  value: (value) => typeof value === "string",
  use: isShort,
});
const isReference = isObjectOf({ reference: isAddress, type: isShort, identifier: isIdentifier });
/** A signature over something that it does not repeat: a compact JWS without its payload. */
const isDetached: Test = (value) =>
  typeof value === "string" && /^[\w-]+\.\.[\w-]+$/.test(decodedBase64(value));

const isPlainBundle = isObjectOf({
  resourceType: isAnything,
  id: isShort,
  // Judged by the labeller.
  meta: isAnything,
  language: isShort,
  identifier: isIdentifier,
  type: isShort,
  timestamp: isShort,
  total: isCount,
  entry: (value) =>
    Array.isArray(value) &&
    list(value).every(
      isObjectOf({
        id: isShort,
        fullUrl: isAddress,
        resource: isResource,
        search: isObjectOf({ mode: isShort, score: isCount }),
        request: isObjectOf({ method: isShort, url: isAddress }),
        response: isObjectOf({ status: isShort, etag: isShort, lastModified: isShort }),
      }),
    ),
  signature: isObjectOf({
    type: (value) => list(value).every(isObjectOf({ system: isSignatureType, code: isShort })),
    when: isShort,
    who: isReference,
    onBehalfOf: isReference,
    targetFormat: isShort,
    sigFormat: isShort,
    data: isDetached,
  }),
});

function isSignatureType(system: unknown): boolean {
  return system === "urn:iso-astm:E1762-95:2013";
}

function decodedBase64(value: string): string {
  try {
    return value.length > 65_536 ? "" : atob(value);
  } catch {
    return "";
  }
}
