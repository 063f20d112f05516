import { bytesKey } from "../../bytes/bytes-key.ts";
import type { BundleReading, BundleResource } from "../../fhir/bundle.ts";
import { linkSteps, type ResourceLinks } from "../../fhir/links.ts";
import { mayBeAboutNobody } from "../../fhir/nobody.ts";
import { bySlices } from "../../loop/give-turn.ts";
import type { NobodyMark } from "../entries/manifest.ts";
import type { Subject } from "../entries/subjects.ts";
import { marksBy, type Marks } from "./marks.ts";

/** The resources of a bundle that name nobody, and what refers to them. */
export interface Serving {
  /** Whether a resource names nobody, and may be about nobody. */
  namesNobody(one: BundleResource): boolean;
  /** Whether it names no person, although resources of its type are about one as a rule. */
  lacksPerson(one: BundleResource): boolean;
  /** Whether something that is about one patient leads to it. */
  isServing(one: BundleResource): boolean;
  /** @param nobody - how it is filed, if it names nobody */
  marksOf(one: BundleResource, nobody: NobodyMark): Marks;
  /**
   * The persons whom resources that name nobody serve: those whose resources refer to them, directly or by
   * way of others that name nobody.
   *
   * @param all - the resources that are filed, with the persons whom they are about
   */
  personsServed(
    all: readonly { readonly one: BundleResource; readonly person: Subject }[],
  ): ReadonlyMap<BundleResource, readonly Subject[]>;
}

/** Types whose content is not read. */
const UNREAD: ReadonlySet<string> = new Set(["Bundle", "Parameters"]);

/** Finds out which resources of a bundle name nobody, and which lead to them. */
export async function findServing(bundle: BundleReading, now: number): Promise<Serving> {
  const { resources, type, problems } = bundle;
  const links = await bySlices(linkSteps(resources, type, now));
  const unclear = new Set(
    problems.flatMap(({ code, path }) => (code === "unresolved-patient" ? [path] : [])),
  );
  const places = new Map(resources.map((one, at) => [one, at]));
  const linksOf = (one: BundleResource): ResourceLinks => links[places.get(one)!]!;

  const lacksPerson = (one: BundleResource): boolean =>
    one.patients.length === 0 &&
    !unclear.has(`Bundle.entry[${one.index}]`) &&
    !UNREAD.has(one.resource.resourceType) &&
    !linksOf(one).namesPerson;
  const namesNobody = (one: BundleResource): boolean =>
    mayBeAboutNobody(one.resource.resourceType) && lacksPerson(one);

  /** The resources that name nobody and that one leads to. */
  function reachedFrom(one: BundleResource): ReadonlySet<BundleResource> {
    const reached = new Set<BundleResource>();
    const waiting = [one];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      for (const at of linksOf(next).entries) {
        const target = resources[at]!;
        if (reached.has(target) || target === one || !namesNobody(target)) continue;
        reached.add(target);
        waiting.push(target);
      }
    }
    return reached;
  }

  let serving: Set<BundleResource> | undefined;
  return {
    namesNobody,
    lacksPerson,
    isServing(target) {
      serving ??= new Set(
        resources
          .filter(({ patients }) => patients.length === 1)
          .flatMap((one) => [...reachedFrom(one)]),
      );
      return serving.has(target);
    },
    marksOf: (one, nobody) =>
      marksBy(linksOf(one), namesNobody(one) ? nobody : undefined, one.resource, now),
    personsServed(all) {
      const served = new Map<BundleResource, Map<string, Subject>>();
      for (const { one, person } of all) {
        if (linksOf(one).entries.length === 0) continue;
        const name = bytesKey(person.local);
        for (const target of reachedFrom(one)) {
          const persons = served.get(target) ?? new Map<string, Subject>();
          served.set(target, persons.set(name, person));
        }
      }
      return new Map(Array.from(served, ([one, persons]) => [one, [...persons.values()]]));
    },
  };
}
