import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { onOneLine, referencesIn, type Example } from "../support/published-examples.ts";

/** One published file, as this suite's own reading of it says. */
export interface Published {
  readonly file: string;
  readonly text: string;
  readonly example: Example;
  /** `Type/id`. */
  readonly name: string;
  /** What it refers to, as its references say it. */
  readonly refers: ReadonlySet<string>;
}

/** One entry of a published Bundle. */
export interface PublishedEntry {
  readonly fullUrl?: string;
  readonly resource?: Example;
  readonly request?: { readonly method: string };
}

export interface Package {
  /** All that is no Bundle, as lines: what is about persons, what is kept for everybody, then definitions. */
  readonly lines: readonly Published[];
  readonly bundles: readonly Published[];
  /** How many lines are no definitions. */
  readonly clinical: number;
}

/** Types of which an example defines something, rather than tells something that happened. */
export const DEFINITIONS: ReadonlySet<string> = new Set(
  `ActivityDefinition ActorDefinition CapabilityStatement ChargeItemDefinition Citation CodeSystem
  CompartmentDefinition ConceptMap ConditionDefinition EffectEvidenceSynthesis EventDefinition Evidence EvidenceVariable
  ExampleScenario GraphDefinition ImplementationGuide Library Measure MessageDefinition NamingSystem
  ObservationDefinition OperationDefinition PlanDefinition Questionnaire Requirements ResearchDefinition
  ResearchElementDefinition RiskEvidenceSynthesis SearchParameter SpecimenDefinition StructureDefinition StructureMap
  SubscriptionTopic TerminologyCapabilities TestPlan TestReport TestScript ValueSet`.split(/\s+/),
);

const require = createRequire(import.meta.url);

/** All resources of a package of npm, in a fixed order; `undefined` where it is not installed. */
export function loadPackage(name: string): Package | undefined {
  let folder: string;
  try {
    folder = dirname(require.resolve(`${name}/package.json`));
  } catch {
    return undefined;
  }
  const all = readdirSync(folder)
    .filter((file) => file.endsWith(".json") && file !== "package.json" && !file.startsWith("."))
    .sort()
    .map((file): Published => {
      const whole = readFileSync(join(folder, file), "utf8");
      const example = JSON.parse(whole) as Example;
      const isBundle = example.resourceType === "Bundle";
      const text = isBundle ? whole.trim() : onOneLine(whole);
      const named: string = `${example.resourceType}/${example.id}`;
      return { file, text, example, name: named, refers: referencesIn(text) };
    });
  const isBundle = ({ example }: Published): boolean => example.resourceType === "Bundle";
  const isDefinition = ({ example }: Published): boolean => DEFINITIONS.has(example.resourceType);
  const lines = all.filter((one) => !isBundle(one));
  const clinical = lines.filter((one) => !isDefinition(one));
  return {
    lines: [...clinical, ...lines.filter(isDefinition)],
    bundles: all.filter(isBundle),
    clinical: clinical.length,
  };
}

/** The exact texts of `Bundle.entry[].resource`, by position; a reader of JSON of its own. */
export function entryTexts(text: string): readonly (string | undefined)[] {
  let at = 0;
  const space = (): void => {
    while (" \t\r\n".includes(text[at]!)) at++;
  };
  const string = (): string => {
    const start = at++;
    while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
    at++;
    return JSON.parse(text.slice(start, at)) as string;
  };
  /** Goes over a value; tells of each member of an object, once it stands before its value. */
  function value(member?: (name: string) => boolean): void {
    space();
    const open = text[at];
    if (open === '"') return void string();
    if (open !== "{" && open !== "[") {
      while (!",]} \t\r\n".includes(text[at]!)) at++;
      return;
    }
    at++;
    for (space(); text[at] !== "}" && text[at] !== "]"; space()) {
      if (text[at] === ",") {
        at++;
        continue;
      }
      let isRead = false;
      if (open === "{") {
        const name = string();
        space();
        at++;
        space();
        isRead = member?.(name) ?? false;
      } else {
        isRead = member?.("") ?? false;
      }
      if (!isRead) value();
    }
    at++;
  }
  const found: (string | undefined)[] = [];
  value((name) => {
    if (name !== "entry") return false;
    value(() => {
      const place = found.push(undefined) - 1;
      value((element) => {
        if (element !== "resource") return false;
        const start = at;
        value();
        found[place] = text.slice(start, at);
        return true;
      });
      return true;
    });
    return true;
  });
  return found;
}
