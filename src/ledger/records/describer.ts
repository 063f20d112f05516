import { InputError } from "../../errors.ts";
import type { ResourceLabels } from "../../consent/model/resource.ts";
import type { BundleReading, BundleResource } from "../../fhir/bundle.ts";
import {
  describeEntry,
  noteOfEntry,
  pathOfEntry,
  type Described,
  type EntryContext,
  type EntryToDescribe,
} from "./describe-entry.ts";
import { labelBySlices, type LabelContext } from "./label-context.ts";
import type { BundleTools } from "./sent.ts";

/** Describes the resources of a bundle. */
export interface Describer {
  /** Begins to describe resources that will be asked for, if there are other threads for it. */
  ahead(wanted: readonly BundleResource[]): void;
  /** @throws {InputError} if it cannot be sealed */
  describe(one: BundleResource): Promise<Described>;
  /** The labels that {@link describe} would give, for a fraction of the work. */
  labelsOf(one: BundleResource): Promise<ResourceLabels | null>;
}

/** Fewer resources are described sooner on this thread. */
const FEW = 8;
/** Most bytes of a bundle that are sent to another thread, which holds several times as many for it. */
const MOST_BYTES: number = 16 * 1024 * 1024;

/** Makes a describer of a bundle's resources. */
export function describerOf(
  { resources }: Pick<BundleReading, "resources">,
  context: EntryContext & { readonly within: LabelContext },
  signal: AbortSignal | undefined,
  { sources, labeller, workers }: Pick<BundleTools, "sources" | "labeller" | "workers">,
): Describer {
  const underWay = new Map<BundleResource, Promise<Described | InputError>>();

  const toDescribe = (one: BundleResource, at: number): EntryToDescribe => ({
    at,
    path: pathOfEntry(one),
    note: noteOfEntry(one, context, sources.digestOf),
  });

  return {
    ahead(wanted) {
      // All of the bundle goes along: it is not worth it for a small part.
      if (workers === undefined || wanted.length < Math.max(FEW, resources.length / 8)) return;
      const size = resources.reduce((sum, { text }) => sum + text.length, 0);
      if (size > MOST_BYTES) return;
      const places = new Map(resources.map((one, at) => [one, at]));
      const { fields } = context;
      const { within } = context.within;
      const all = workers.describe(
        { resources, within, fields },
        wanted.map((one) => toDescribe(one, places.get(one)!)),
        signal,
      );
      for (const [i, one] of wanted.entries()) {
        const described = all.then((list) => list[i]!);
        // Whoever asks first is told; it need not be asked for at all.
        described.catch(() => undefined);
        underWay.set(one, described);
      }
    },
    async describe(one) {
      const begun = underWay.get(one);
      if (begun === undefined) return describeEntry(one, toDescribe(one, 0), context, labeller);
      underWay.delete(one);
      const described = await begun;
      if (described instanceof InputError) throw described;
      return described;
    },
    labelsOf: ({ resource }) => labelBySlices(labeller, resource, context.within),
  };
}
