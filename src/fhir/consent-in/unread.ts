import { isObject, type JsonObject } from "../resource.ts";

/** A view of a resource that tracks which elements were read. */
export interface Tracked {
  readonly view: JsonObject;
  /** Paths of elements that were not read; none below such a path. */
  unread(): readonly string[];
}

/** Elements without legal content: names of the resource, displays of codes, its language. */
const SILENT: ReadonlySet<string> = new Set(["id", "display", "userSelected", "language"]);
const ADMINISTRATIVE: ReadonlySet<string> = new Set([
  "Consent.resourceType",
  "Consent.meta.versionId",
  "Consent.meta.lastUpdated",
  "Consent.meta.source",
]);

/** Tracks which elements of a resource are read, so that none is dropped silently. */
export function track(resource: JsonObject): Tracked {
  const seen = new Map<object, Set<string>>();
  const views = new WeakMap<object, object>();
  const viewOf = <T extends object>(value: T): T => {
    const known = views.get(value);
    if (known !== undefined) return known as T;
    const view = new Proxy(value, {
      get(target, key, receiver) {
        const child: unknown = Reflect.get(target, key, receiver);
        if (typeof key !== "string") return child;
        const keys = seen.get(target);
        if (keys === undefined) seen.set(target, new Set([key]));
        else keys.add(key);
        return typeof child === "object" && child !== null ? viewOf(child) : child;
      },
    });
    views.set(value, view);
    return view;
  };
  return {
    view: viewOf(resource),
    unread() {
      const paths: string[] = [];
      const visit = (value: object, path: string): void => {
        const read = seen.get(value);
        for (const [key, child] of Object.entries(value)) {
          if (child === undefined || key === "extension" || key.startsWith("_")) continue;
          const own = Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`;
          if (SILENT.has(key) || ADMINISTRATIVE.has(own) || isGenerated(own, child)) continue;
          // The elements of meta are reported one by one; any other unread element is reported as a
          // whole.
          const whole = own !== "Consent.meta" || !isObject(child);
          if (read?.has(key) !== true && whole) paths.push(own);
          else if (typeof child === "object" && child !== null) visit(child, own);
        }
      };
      visit(resource, "Consent");
      return paths;
    },
  };
}

/** Whether an element is narrative generated from the elements, which adds nothing. */
function isGenerated(path: string, value: unknown): boolean {
  if (path !== "Consent.text" || !isObject(value)) return false;
  return ["generated", "extensions", "empty"].includes(String(value["status"]));
}
