import type { Labeller } from "./labeller.ts";
import type { Coding } from "../model/model.ts";
import type { ResourceLabels } from "../model/resource.ts";
import { CONFIDENTIALITY } from "../terminology/terminology.ts";

/** How a labelling service is reached, and what is made of its answers. */
export interface ExternalLabellerOptions {
  /** Stands in the stamp of what the service labels. */
  readonly name: string;
  /** Of the service's rules; where its answer names one, that counts. */
  readonly version: string;
  /**
   * Asks the service. What it resolves to is not trusted to have any shape.
   *
   * @param signal - aborted when the time is over, or the caller gives up
   */
  call(resource: unknown, signal: AbortSignal): Promise<unknown>;
  /** Most milliseconds a call may take. */
  readonly timeout: number;
  /** A signal that aborts after so many milliseconds: `AbortSignal.timeout`, or a test's own. */
  readonly timer: (milliseconds: number) => AbortSignal;
  /** What the service may add to and not take away from, and what is left where it fails. */
  readonly atLeast?: Pick<Labeller, "label">;
  /** Told of every failure; must not throw. Nothing of the resource is in the error's name. */
  readonly onFailure?: (cause: unknown) => void;
}

/** Labels resources by a service outside. */
export interface ExternalLabeller {
  readonly name: string;
  /**
   * @returns labels as the service gives them, stamped where it says that it judged the whole
   *   resource; when it failed, was too slow or gave no such answer, `null` or what
   *   {@link ExternalLabellerOptions.atLeast} finds, without a stamp: a record whose labels are not
   *   known, which permits by label do not reach and denies by label may
   */
  label(
    resource: unknown,
    options?: { readonly signal?: AbortSignal },
  ): Promise<ResourceLabels | null>;
  /**
   * Labels many, some at a time.
   *
   * @returns in the order of the resources
   */
  labelMany(
    resources: readonly unknown[],
    options?: {
      /** Most calls that are under way. Default 8. */
      readonly atOnce?: number;
      readonly signal?: AbortSignal;
    },
  ): Promise<(ResourceLabels | null)[]>;
}

/** Most labels that are taken from one answer. */
const MAX_LABELS = 256;
const MAX_LENGTH = 512;

/**
 * Makes a labeller of a service outside, such as an HL7 security labelling service. Its answer is
 * `{ codes: [{ system, code }], complete: boolean, version?: string }`; anything else, an error and
 * a timeout leave the resource unlabelled.
 */
export function externalLabeller(options: ExternalLabellerOptions): ExternalLabeller {
  const { name, version, timeout, timer, atLeast, onFailure } = options;
  if (!(timeout > 0)) throw new RangeError("timeout must be positive");
  const label: ExternalLabeller["label"] = async (resource, { signal } = {}) => {
    signal?.throwIfAborted();
    const least = atLeast?.label(resource) ?? null;
    const limit = timer(timeout);
    const either = signal === undefined ? limit : AbortSignal.any([limit, signal]);
    try {
      const answer = await Promise.race([options.call(resource, either), aborted(either)]);
      const read = readAnswer(answer);
      if (read === undefined) throw new TypeError("the labelling service gave no such answer");
      const stamp = { labeller: name, version: read.version ?? version };
      return { codes: joined(read.codes, least), stamp: read.complete ? stamp : null };
    } catch (cause) {
      // The caller's own wish to stop is no failure of the service.
      signal?.throwIfAborted();
      onFailure?.(cause);
      return least === null ? null : { ...least, stamp: null };
    }
  };
  return {
    name,
    label,
    async labelMany(resources, { atOnce = 8, signal } = {}) {
      if (!(atOnce >= 1)) throw new RangeError("atOnce must be at least 1");
      const labels: (ResourceLabels | null)[] = [];
      let next = 0;
      const work = async (): Promise<void> => {
        while (next < resources.length) {
          const at = next++;
          labels[at] = await label(resources[at], signal === undefined ? {} : { signal });
        }
      };
      await Promise.all(Array.from({ length: Math.min(atOnce, resources.length) }, work));
      return labels;
    },
  };
}

/** The service's labels, and what it left out of those that were found here. */
function joined(codes: readonly Coding[], least: ResourceLabels | null): readonly Coding[] {
  // That nothing is sensitive is no finding.
  const found = (least?.codes ?? []).filter(
    ({ system, code }) => system !== CONFIDENTIALITY || code !== "N",
  );
  const missing = found.filter(
    (own) => !codes.some(({ system, code }) => system === own.system && code === own.code),
  );
  return missing.length === 0 ? codes : [...codes, ...missing];
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    else signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
  });
}

interface Answer {
  readonly codes: readonly Coding[];
  readonly complete: boolean;
  readonly version: string | undefined;
}

function readAnswer(value: unknown): Answer | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { codes, complete, version } = value as Record<string, unknown>;
  if (!Array.isArray(codes) || codes.length > MAX_LABELS || typeof complete !== "boolean") {
    return undefined;
  }
  if (version !== undefined && !isText(version)) return undefined;
  const read: Coding[] = [];
  for (const item of codes as readonly unknown[]) {
    if (typeof item !== "object" || item === null) return undefined;
    const { system, code } = item as Record<string, unknown>;
    if (!isText(system) || !isText(code)) return undefined;
    read.push({ system, code });
  }
  return { codes: read, complete, version };
}

const isText = (value: unknown): value is string =>
  typeof value === "string" && value !== "" && value.length <= MAX_LENGTH;
