import type { Labeller, LabelOptions } from "../../consent/labels/labeller.ts";
import type { BundleResource, ResourceText } from "../../fhir/bundle.ts";
import { bySlices } from "../../loop/give-turn.ts";
import { MAX_URL, type Manifest } from "../entries/manifest.ts";
import { describeText, type Description } from "./describe-text.ts";
import { draftSteps } from "./draft.ts";
import { nameOfEntry } from "./entry-name.ts";
import type { Marks } from "./marks.ts";

/** A resource that can be sealed: what is said of it, and the bytes of the manifest that creates it. */
export interface Described {
  readonly manifest: Description & EntryNote;
  /** Without the person it is about. */
  readonly draft: Uint8Array;
}

/** What a bundle says about all of its resources. */
export interface EntryContext {
  readonly within: LabelOptions;
  /** `Bundle.type` */
  readonly type: string;
  readonly source: string | undefined;
  readonly fields: boolean;
  readonly marksOf: (one: BundleResource) => Marks;
}

/** What a manifest says of an entry of a bundle besides its resource. */
export interface EntryNote extends Pick<Manifest, "fullUrl" | "source">, Marks {}

/** An entry of a bundle that is to be described. */
export interface EntryToDescribe {
  /** Its position among the bundle's resources. */
  readonly at: number;
  /** Names it in errors. */
  readonly path: string;
  readonly note: EntryNote;
}

/** A bundle, entries of which are to be described. */
export interface BundleToDescribe {
  /** All of them: they refer to each other. */
  readonly resources: readonly BundleResource[];
  /** As in `LabelOptions`. */
  readonly within: readonly unknown[];
  readonly fields: boolean;
}

/** The place of an entry's resource in its bundle. */
export const pathOfEntry = ({ index }: Pick<BundleResource, "index">): string =>
  `Bundle.entry[${index}].resource`;

/**
 * What a bundle says of an entry besides its resource.
 *
 * @param digestOf - names a text
 */
export function noteOfEntry(
  one: BundleResource,
  { source, type, marksOf }: Pick<EntryContext, "source" | "type" | "marksOf">,
  digestOf: (text: Uint8Array) => Uint8Array,
): EntryNote {
  const { fullUrl = "" } = one;
  const address = fullUrl === "" || fullUrl.length > MAX_URL ? {} : { fullUrl };
  return { ...address, ...sourceNote(), ...marksOf(one) };

  function sourceNote(): Pick<Manifest, "source"> {
    const name = source === undefined ? undefined : nameOfEntry(one, type);
    if (source === undefined || name === undefined || name === "unclear") return {};
    const { type: of, id } = name;
    return { source: { name: source, type: of, id, text: digestOf(one.text) } };
  }
}

/**
 * Describes a resource of a bundle, and makes sure that it can be sealed.
 *
 * @throws {InputError} `ERR_INPUT_TOO_LARGE` or `ERR_INPUT_INVALID` when it cannot
 */
export async function describeEntry(
  one: ResourceText,
  { note, path }: Pick<EntryToDescribe, "note" | "path">,
  { within, fields }: Pick<EntryContext, "within" | "fields">,
  labeller: Pick<Labeller, "label">,
): Promise<Described> {
  const manifest = { ...(await describeText(labeller, one, undefined, within)), ...note };
  const create = { op: "create", ...manifest } as const;
  return { manifest, draft: await bySlices(draftSteps(create, { text: one.text, fields }, path)) };
}
