import { parseDate } from "./date.ts";
import { codingsOf, type FhirResource, isObject, text } from "./resource.ts";

/** What a resource says of its version: `meta.versionId` and `meta.lastUpdated`. */
export interface StatedVersion {
  readonly versionId?: string;
  /** In ms since 1970. */
  readonly lastUpdated?: number;
}

/** What a resource says of its version, as far as it can be read. */
export function statedVersion({ meta }: FhirResource): StatedVersion {
  const versionId = isObject(meta) ? text(meta["versionId"]) : undefined;
  const at = isObject(meta) ? text(meta["lastUpdated"]) : undefined;
  const span = at === undefined ? undefined : parseDate(at);
  return {
    ...(versionId !== undefined && versionId.length <= 1024 && { versionId }),
    ...(span?.zoned === true && span.from >= 0 && { lastUpdated: span.from }),
  };
}

/**
 * Whether a resource says that it was entered in error: by its `status`, or by the
 * `verificationStatus` of a Condition or an AllergyIntolerance.
 */
export function isEnteredInError({ status, verificationStatus }: FhirResource): boolean {
  return [status, ...codingsOf(status), ...codingsOf(verificationStatus)].some(
    (one) => (isObject(one) ? one["code"] : one) === "entered-in-error",
  );
}

/**
 * How one version of a resource follows another, as far as both say so: `unknown` if they do not,
 * or if number and time disagree.
 */
export type VersionOrder = "older" | "same" | "newer" | "unknown";

/**
 * Compares two versions of one resource, by `meta.versionId` where both are numbers and by
 * `meta.lastUpdated`. Where both can be compared, they must agree.
 */
export function compareVersions(one: StatedVersion, other: StatedVersion): VersionOrder {
  const signs = [numberSign(one, other), timeSign(one, other)].filter((sign) => sign !== undefined);
  if (signs.length === 0) return "unknown";
  const isOlder = signs.some((sign) => sign < 0);
  const isNewer = signs.some((sign) => sign > 0);
  if (isOlder && isNewer) return "unknown";
  if (isOlder) return "older";
  return isNewer ? "newer" : "same";
}

function numberSign(
  { versionId: one }: StatedVersion,
  { versionId: other }: StatedVersion,
): number | undefined {
  if (one === undefined || other === undefined) return undefined;
  if (/^\d{1,15}$/.test(one) && /^\d{1,15}$/.test(other)) {
    return Math.sign(Number(one) - Number(other));
  }
  return one === other ? 0 : undefined;
}

const timeSign = (
  { lastUpdated: one }: StatedVersion,
  { lastUpdated: other }: StatedVersion,
): number | undefined =>
  one === undefined || other === undefined ? undefined : Math.sign(one - other);

/**
 * Puts versions of one resource in order, the oldest first: by what they say, if each says it of
 * the one beside it. Otherwise by their places: in a history the newest comes first, unless what
 * some say shows that it comes last.
 *
 * @param type - `Bundle.type`
 */
export function inVersionOrder<T extends { readonly stated: StatedVersion }>(
  versions: readonly T[],
  type: string,
): readonly T[] {
  const steps = versions.slice(1).map((one, i) => compareVersions(one.stated, versions[i]!.stated));
  const isBackwards = type === "history" && !(steps.includes("newer") && !steps.includes("older"));
  const placed = isBackwards ? versions.toReversed() : versions;
  if (steps.includes("unknown")) return placed;
  const sign = { older: -1, newer: 1, same: 0, unknown: 0 } as const;
  return placed.toSorted((a, b) => sign[compareVersions(a.stated, b.stated)]);
}
