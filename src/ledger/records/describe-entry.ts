import type { LabelOptions } from "../../consent/labels/labeller.ts";
import type { BundleResource } from "../../fhir/bundle.ts";
import { bySlices } from "../../loop/give-turn.ts";
import { MAX_URL, type Manifest } from "../entries/manifest.ts";
import { nameOfEntry } from "./entry-name.ts";
import type { Marks } from "./marks.ts";
import type { BundleTools, Described } from "./sent.ts";

/** What a bundle says about all of its resources. */
export interface EntryContext {
  readonly within: LabelOptions;
  /** `Bundle.type` */
  readonly type: string;
  readonly source: string | undefined;
  readonly fields: boolean;
  readonly marksOf: (one: BundleResource) => Marks;
}

/**
 * Describes a resource of a bundle, and makes sure that it can be sealed.
 *
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` or `ERR_INPUT_INVALID` when it cannot
 */
export async function describeEntry(
  one: BundleResource,
  context: EntryContext,
  { described, contents, sources }: BundleTools,
): Promise<Described> {
  const { index, text, fullUrl = "" } = one;
  const address = fullUrl === "" || fullUrl.length > MAX_URL ? {} : { fullUrl };
  const said = await described.manifestOf(one, undefined, context.within);
  const manifest = { ...said, ...address, ...noteOf(one, context), ...context.marksOf(one) };
  const path = `Bundle.entry[${index}].resource`;
  const create = { op: "create", ...manifest } as const;
  const { fields } = context;
  return {
    manifest,
    draft: await bySlices(contents.assertSealable(create, { text, fields }, path)),
  };

  function noteOf(entry: BundleResource, { source, type }: EntryContext): Pick<Manifest, "source"> {
    const name = source === undefined ? undefined : nameOfEntry(entry, type);
    if (source === undefined || name === undefined || name === "unclear") return {};
    const { type: of, id } = name;
    return { source: { name: source, type: of, id, text: sources.digestOf(text) } };
  }
}
