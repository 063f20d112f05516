import type { ResourceLabels } from "../consent/resource.ts";
import { CONFIDENTIALITY } from "../consent/terminology.ts";

/**
 * Labels of a correction that brings none: the labeller's, and those that somebody else had set.
 *
 * @param fresh - the labeller's answer to the new content
 * @param current - labels that the record has
 * @param former - the labeller's answer to the content that it has, by which is told what of
 *   `current` came from elsewhere
 * @param labeller - the labeller's name
 */
export function uniteLabels(
  fresh: ResourceLabels | null,
  current: ResourceLabels | null,
  former: ResourceLabels | null,
  labeller: string,
): ResourceLabels | null {
  if (current === null) {
    // Where the labeller could tell, somebody had said that nothing is known.
    return former === null || fresh === null ? fresh : { ...fresh, stamp: null };
  }
  const own = current.stamp?.labeller === labeller;
  const told = new Set(current.stamp === null ? former?.codes.map(nameOf) : []);
  const foreign = own ? [] : current.codes.filter((code) => !told.has(nameOf(code)));
  if (foreign.length === 0) return fresh;
  // "Normal" says that there is nothing else: true of neither when the other found something.
  const mine = (fresh?.codes ?? []).filter((code) => !isNormal(code));
  const kept = mine.length > 0 ? foreign.filter((code) => !isNormal(code)) : foreign;
  const codes = new Map([...kept, ...mine].map((code) => [nameOf(code), code]));
  // Not the labeller's stamp: the next correction has to keep them too.
  const stamp = fresh?.stamp == null ? null : current.stamp;
  return { codes: [...codes.values()], stamp };
}

type Code = ResourceLabels["codes"][number];

const nameOf = ({ system, code }: Code): string => JSON.stringify([system, code]);
const isNormal = ({ system, code }: Code): boolean => system === CONFIDENTIALITY && code === "N";
