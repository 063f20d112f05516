import type { Labeller } from "./labeller.ts";
import type { LabelStamp, ResourceLabels } from "../model/resource.ts";
import { CONFIDENTIALITY } from "../terminology/terminology.ts";

/**
 * Labels of a correction that brings none: the labeller's, and those that somebody else had set.
 *
 * @param fresh - the labeller's answer to the new content
 * @param current - labels that the record has
 * @param former - the labeller's answer to the content that it has, by which is told what of
 *   `current` came from elsewhere
 */
export function uniteLabels(
  fresh: ResourceLabels | null,
  current: ResourceLabels | null,
  former: ResourceLabels | null,
  labeller: Pick<Labeller, "name" | "replaces">,
): ResourceLabels | null {
  if (current === null) {
    // Where the labeller could tell, somebody had said that nothing is known.
    return former === null || fresh === null ? fresh : { ...fresh, stamp: null };
  }
  const own = current.stamp !== null && isOwn(current.stamp, labeller);
  // The labeller would have stamped: somebody else gave these labels, and left open what else there is.
  const leftOpen = current.stamp === null && former !== null && former.stamp !== null;
  const told = new Set(current.stamp === null && !leftOpen ? former?.codes.map(nameOf) : []);
  const foreign = own ? [] : current.codes.filter((code) => !told.has(nameOf(code)));
  if (foreign.length === 0) return leftOpen && fresh !== null ? { ...fresh, stamp: null } : fresh;
  // "Normal" says that there is nothing else: true of neither when the other found something.
  const mine = (fresh?.codes ?? []).filter((code) => !isNormal(code));
  const kept = mine.length > 0 ? foreign.filter((code) => !isNormal(code)) : foreign;
  const codes = new Map([...kept, ...mine].map((code) => [nameOf(code), code]));
  // Not the labeller's stamp: the next correction has to keep them too.
  const stamp = fresh?.stamp == null ? null : current.stamp;
  return { codes: [...codes.values()], stamp };
}

/**
 * Labels of a record about which two spoke, neither knowing what the other said: the codes of both.
 * They are complete where both were, and the stamp of one labeller holds for both.
 *
 * @param judge - labels of what the record holds now
 * @param other - labels that were given in ignorance of them, or of what they are about
 */
export function labelsOfBoth(
  judge: ResourceLabels | null,
  other: ResourceLabels | null,
): ResourceLabels | null {
  const all = [...(judge?.codes ?? []), ...(other?.codes ?? [])];
  const codes = new Map(all.map((code) => [nameOf(code), code]));
  const known = judge?.stamp != null && judge.stamp.labeller === other?.stamp?.labeller;
  if (codes.size === 0 && !known) return null;
  return { codes: [...codes.values()], stamp: known ? judge.stamp : null };
}

/** Whether a stamp is the labeller's, or of rules that its own were made of. */
export function isOwn(
  stamp: LabelStamp,
  { name, replaces }: Pick<Labeller, "name" | "replaces">,
): boolean {
  return stamp.labeller === name || replaces?.includes(stamp.labeller) === true;
}

type Code = ResourceLabels["codes"][number];

const nameOf = ({ system, code }: Code): string => JSON.stringify([system, code]);
/** Whether a label says that nothing is sensitive. */
export const isNormal = ({ system, code }: Code): boolean =>
  system === CONFIDENTIALITY && code === "N";
