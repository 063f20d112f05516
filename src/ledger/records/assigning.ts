import { InputError, RecordError } from "../../errors.ts";
import { appendTo } from "../../bytes/lists.ts";
import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import type { LedgerContext } from "../context.ts";
import { copyOf, poolLocals, type SourceResource } from "../entries/source-names.ts";
import type { Subject } from "../entries/subjects.ts";
import { serve, type FiledCopy, type Wanted } from "./copies.ts";
import { currentRecords, sourceOf, type FoldedRecord } from "./current-record.ts";
import { describe } from "./describe-record.ts";
import type { BundleTools } from "./sent.ts";
import { assertResource, assertSource, baseOf, type SourceRecord } from "./sources.ts";

/** Options of listing what serves nobody. */
export interface UnassignedOptions {
  /** Only resources of this source. */
  readonly source?: string;
  readonly signal?: AbortSignal;
}

/** A resource that is kept for everybody and is on record of nobody. */
export interface UnassignedResource extends SourceResource {
  /** What its newest version says of itself. */
  readonly versionId?: string;
  /** In ms since 1970. */
  readonly lastUpdated?: number;
}

/** Files what is kept for everybody about persons. */
export interface Assigning {
  assign(resource: SourceResource, subject: Subject): Promise<SourceRecord>;
  unassigned(options?: UnassignedOptions): AsyncIterable<UnassignedResource>;
  /** Files the newest versions of what records about to go out refer to. */
  freshen(records: Iterable<FoldedRecord>): Promise<readonly FiledCopy[]>;
}

const UNASSIGNED: OptionsOf<UnassignedOptions> = { source: true, signal: true };

export function createAssigning(context: LedgerContext, tools: BundleTools): Assigning {
  const { catalogue, contents, kept, sources, subjects, versions } = tools;
  const how = {
    ...{ mix: false, fields: false },
    signal: undefined,
    hasWritten: () => false,
  };

  async function copyFor(resource: SourceResource, subject: Subject) {
    await catalogue.catchUp();
    const [known] = await sources.onRecord(
      [{ ...resource, copy: copyOf(subject.local) }],
      [subject],
    );
    return [...known!.byPerson.values()].flat().find(({ retracted }) => !retracted);
  }

  return {
    async assign({ source, type, id }, subject) {
      assertSource(source);
      assertResource({ type, id });
      const resource = { source, type, id };
      await subjects.assertKnown(subject);
      const [all] = await kept.of([resource]);
      const living = all!.filter(({ record }) => !record.retracted);
      const [one] = living;
      if (one === undefined) {
        throw new RecordError("ERR_RECORD_NOT_FOUND", "no such resource is kept of this source");
      }
      if (living.length > 1) {
        throw new InputError(
          "ERR_INPUT_INVALID",
          "several servers of this source have such a resource",
        );
      }
      const names = [`${one.base ?? ""}${type}/${id}`];
      await serve(source, [{ subject, names }], how, tools, "filed");
      const copy = await copyFor(resource, subject);
      if (copy === undefined) {
        throw new RecordError("ERR_RECORD_RETRACTED", "this person's record of it has ended");
      }
      if (copy.head.manifest.nobody === "served") {
        await versions.change(copy.record, async (record) =>
          versions.amend(
            record,
            { op: "amend", ...describe(record), nobody: "filed" },
            await contents.copyOf(record),
          ),
        );
      }
      return { id: copy.record, subject: { local: subject.local.slice() }, ended: false };
    },
    async *unassigned(options = {}) {
      assertOptions(options, UNASSIGNED, "unassigned");
      const { source, signal } = options;
      if (source !== undefined) assertSource(source);
      for (const pool of poolLocals(context)) {
        signal?.throwIfAborted();
        await catalogue.catchUp();
        const [items] = await catalogue.listed([pool], [pool]);
        const living = [...currentRecords(items!).values()].filter((record) => {
          const note = sourceOf(record).source;
          return !record.retracted && (source === undefined || note?.name === source);
        });
        const resources = living.map((record): SourceResource => {
          const { name, type, id } = sourceOf(record).source!;
          return { source: name, type, id };
        });
        const holders = resources.length === 0 ? [] : await kept.holders(resources);
        for (const [i, resource] of resources.entries()) {
          if (holders[i]!.length > 0) continue;
          const { versionId, lastUpdated } = living[i]!.head.manifest.resource ?? {};
          yield {
            ...resource,
            ...(versionId === undefined ? {} : { versionId }),
            ...(lastUpdated === undefined ? {} : { lastUpdated }),
          };
        }
      }
    },
    async freshen(records) {
      const bySource = new Map<string, Wanted[]>();
      for (const record of records) {
        const { source, nobody } = sourceOf(record);
        if (source === undefined) continue;
        const { refers = [], local } = record.head.manifest;
        const own = nobody === undefined ? [] : [nameOfCopy(record)];
        if (refers.length + own.length === 0) continue;
        const wanted = bySource.get(source.name) ?? [];
        bySource.set(source.name, wanted);
        wanted.push({ subject: { local }, names: [...refers, ...own] });
      }
      const filed: FiledCopy[] = [];
      for (const [source, wanted] of bySource) {
        appendTo(filed, await serve(source, wanted, { ...how, isRenewal: true }, tools));
      }
      return filed;
    },
  };
}

function nameOfCopy(record: FoldedRecord): string {
  const { type, id } = sourceOf(record).source!;
  return `${baseOf(record) ?? ""}${type}/${id}`;
}
