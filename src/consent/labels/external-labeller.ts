import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import type { Labeller } from "./labeller.ts";
import type { Coding } from "../model/model.ts";
import type { ResourceLabels } from "../model/resource.ts";
import { CONFIDENTIALITY } from "../terminology/terminology.ts";

/** How to reach a labelling service, and how to treat its answers. */
export interface ExternalLabellerOptions {
  /** The name in the stamp of labels from the service. */
  readonly name: string;
  /** Version of the service's rules; a version in the service's answer takes precedence. */
  readonly version: string;
  /**
   * Asks the service. The resolved value is not trusted to have any shape.
   *
   * @param signal - aborted when the time is up or the caller cancels
   */
  call(resource: unknown, signal: AbortSignal): Promise<unknown>;
  /** Most milliseconds that a call may take. */
  readonly timeout: number;
  /**
   * Makes a signal that aborts after that many milliseconds: `AbortSignal.timeout`, or a test's
   * own.
   */
  readonly timer: (milliseconds: number) => AbortSignal;
  /**
   * A local labeller: the service may add to its labels but not remove any; used alone if the
   * service fails.
   */
  readonly atLeast?: Pick<Labeller, "label">;
  /** Called on every failure; must not throw. The error's name contains nothing of the resource. */
  readonly onFailure?: (cause: unknown) => void;
}

/** Labels resources through an external service. */
export interface ExternalLabeller {
  readonly name: string;
  /**
   * @returns the service's labels, with a stamp if the service says that it judged the whole
   *   resource. If it failed, was too slow or gave a malformed answer: the labels that
   *   {@link ExternalLabellerOptions.atLeast} finds, without a stamp, or `null`. The labels of such
   *   a record are not known: permits by label do not reach it, and denies by label may
   */
  label(
    resource: unknown,
    options?: { readonly signal?: AbortSignal },
  ): Promise<ResourceLabels | null>;
  /**
   * Labels many resources, several at a time.
   *
   * @returns in the order of the resources
   */
  labelMany(
    resources: readonly unknown[],
    options?: {
      /** Most calls in progress at once. Default 8. */
      readonly atOnce?: number;
      readonly signal?: AbortSignal;
    },
  ): Promise<(ResourceLabels | null)[]>;
}

/** Most labels accepted from one answer. */
const MAX_LABELS = 256;
const MAX_LENGTH = 512;

const EXTERNAL_LABELLER_OPTIONS: OptionsOf<ExternalLabellerOptions> = {
  ...{ name: true, version: true, call: true, timeout: true, timer: true, atLeast: true },
  ...{ onFailure: true },
};

/**
 * Makes a labeller from an external service, such as an HL7 security labelling service. Its answer
 * is `{ codes: [{ system, code }], complete: boolean, version?: string }`. Any other answer, an
 * error or a timeout leaves the resource unlabelled.
 *
 * @example
 * const labeller = externalLabeller({
 *   name: "hospital-sls",
 *   version: "1",
 *   timeout: 2000,
 *   timer: AbortSignal.timeout,
 *   call: async (resource, signal) => {
 *     const body = JSON.stringify(resource);
 *     return (await fetch(serviceUrl, { method: "POST", body, signal })).json();
 *   },
 * });
 */
export function externalLabeller(options: ExternalLabellerOptions): ExternalLabeller {
  assertOptions(options, EXTERNAL_LABELLER_OPTIONS, "externalLabeller");
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
      if (read === undefined) throw new TypeError("the labelling service gave a malformed answer");
      const stamp = { labeller: name, version: read.version ?? version };
      return { codes: joined(read.codes, least), stamp: read.complete ? stamp : null };
    } catch (cause) {
      // A cancellation by the caller is not a failure of the service.
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

/** The service's labels, and those that were found locally and the service left out. */
function joined(codes: readonly Coding[], least: ResourceLabels | null): readonly Coding[] {
  // A label "normal" is not a finding.
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
