import type { Engine } from "./engine.ts";

interface SharedEngine {
  readonly engine: Promise<Engine>;
  handles: number;
  /** Set when the last handle has been closed. */
  closed?: Promise<void>;
}

/** Stores open in this process: LMDB must not be opened twice, so handles share them. */
const engines = new Map<string, SharedEngine>();

/** The engine of a folder; the first caller starts it. */
export async function share(folder: string, start: () => Engine): Promise<Engine> {
  let shared = engines.get(folder);
  while (shared?.closed !== undefined) {
    await shared.closed;
    shared = engines.get(folder);
  }
  if (shared === undefined) {
    shared = { engine: Promise.resolve(start()), handles: 0 };
    engines.set(folder, shared);
  }
  shared.handles++;
  try {
    return await shared.engine;
  } catch (error) {
    if (engines.get(folder) === shared) engines.delete(folder);
    throw error;
  }
}

/** Releases an engine; the last release closes it. */
export async function release(folder: string): Promise<void> {
  const shared = engines.get(folder);
  if (shared === undefined || --shared.handles > 0) return;
  shared.closed = shared.engine
    .then((engine) => engine.close())
    .finally(() => engines.delete(folder));
  await shared.closed;
}
