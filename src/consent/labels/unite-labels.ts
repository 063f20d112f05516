import type { Labeller } from "./labeller.ts";
import type { LabelStamp, ResourceLabels } from "../model/resource.ts";
import { CONFIDENTIALITY } from "../terminology/terminology.ts";

/**
 * Labels of a correction that brings no labels: the labeller's, and those that others had set.
 *
 * @param fresh - the labeller's answer to the new content
 * @param current - labels that the record has
 * @param former - the labeller's answer to the current content; labels of `current` that are not in
 *   it came from elsewhere
 */
export function uniteLabels(
  fresh: ResourceLabels | null,
  current: ResourceLabels | null,
  former: ResourceLabels | null,
  labeller: Pick<Labeller, "name" | "replaces">,
): ResourceLabels | null {
  if (current === null) {
    // The labeller could judge the content, so somebody had said that its labels are unknown.
    return former === null || fresh === null ? fresh : { ...fresh, stamp: null };
  }
  const own = current.stamp !== null && isOwn(current.stamp, labeller);
  // The labeller would have stamped: somebody else gave these labels and made no claim that they
  // are complete.
  const leftOpen = current.stamp === null && former !== null && former.stamp !== null;
  const told = new Set(current.stamp === null && !leftOpen ? former?.codes.map(labelName) : []);
  const foreign = own ? [] : current.codes.filter((code) => !told.has(labelName(code)));
  if (foreign.length === 0) return leftOpen && fresh !== null ? { ...fresh, stamp: null } : fresh;
  // "Normal" claims that nothing else applies: drop it if the other side found something.
  const mine = (fresh?.codes ?? []).filter((code) => !isNormal(code));
  const kept = mine.length > 0 ? foreign.filter((code) => !isNormal(code)) : foreign;
  const codes = new Map([...kept, ...mine].map((code) => [labelName(code), code]));
  // Not the labeller's stamp, so that the next correction keeps these labels too.
  const stamp = fresh?.stamp == null ? null : current.stamp;
  return { codes: [...codes.values()], stamp };
}

/**
 * Labels of a record that two parties labelled concurrently: the codes of both. They are complete
 * if both were, and if one labeller stamped both, its stamp holds for both.
 *
 * @param judge - labels of what the record holds now
 * @param other - labels given without knowledge of `judge`, or of the content that it is about
 */
export function labelsOfBoth(
  judge: ResourceLabels | null,
  other: ResourceLabels | null,
): ResourceLabels | null {
  const all = [...(judge?.codes ?? []), ...(other?.codes ?? [])];
  const codes = new Map(all.map((code) => [labelName(code), code]));
  const known = judge?.stamp != null && judge.stamp.labeller === other?.stamp?.labeller;
  if (codes.size === 0 && !known) return null;
  return { codes: [...codes.values()], stamp: known ? judge.stamp : null };
}

/** Whether a stamp is the labeller's, or that of a rule set which its own extends. */
export function isOwn(
  stamp: LabelStamp,
  { name, replaces }: Pick<Labeller, "name" | "replaces">,
): boolean {
  return stamp.labeller === name || replaces?.includes(stamp.labeller) === true;
}

type Code = ResourceLabels["codes"][number];

/** Names a label, whatever its display. */
export const labelName = ({ system, code }: Code): string => JSON.stringify([system, code]);

/** Whether a label says that nothing is sensitive. */
export const isNormal = ({ system, code }: Code): boolean =>
  system === CONFIDENTIALITY && code === "N";
