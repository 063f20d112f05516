import { appendFileSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import { fileKeys } from "../../src/identity/file-keys.ts";
import type { KeyStore } from "../../src/identity/key-store.ts";
import { LedgerError } from "../../src/errors.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import type { Subject } from "../../src/ledger/entries/subjects.ts";
import { streamOf, type ClientCertificate } from "./https-fetch.ts";

/** What each process is told, as JSON in its only argument. */
export interface Told {
  readonly name: string;
  /** Folder with `keys`, `store` and `acks`. */
  readonly folder: string;
  /** File with the genesis record. */
  readonly genesis: string;
  /** Where it serves, if it does. */
  readonly port: number;
  /** Those whom it asks. */
  readonly peers: readonly Asked[];
  /** Seed of a cosigner's key, which needs no key file. */
  readonly seed?: string;
}

export interface Asked {
  /** Name of an organisation, or of a cosigner's key. */
  readonly name: string;
  readonly url: string;
  readonly certificate?: ClientCertificate;
}

/** Milliseconds that a request may take: less than the default, since what is asked is killed all the time. */
export const DEADLINE = 3000;

export const told = JSON.parse(process.argv[2]!) as Told;

export const say = (line: string): void => void process.stdout.write(`${line}\n`);

// From here on it may be killed.
say(`up ${process.pid}`);

export const genesisBytes = async (): Promise<Uint8Array> =>
  new Uint8Array(await readFile(told.genesis));

/** The keys that were made before. */
export const ownKeys = (folder: string = told.folder): Promise<KeyStore> =>
  fileKeys(`${folder}/keys`, { passphrase: PASSPHRASE });

export const PASSPHRASE = "of a test";

/** Serves a handler under node:http, slower where the other side is. */
export function serve(handler: (request: Request) => Promise<Response>): void {
  const server = createServer((incoming, outgoing) => {
    const leaving = new AbortController();
    outgoing.on("close", () => leaving.abort());
    const { method = "GET", url = "/", headers } = incoming;
    const request = new Request(`http://127.0.0.1:${told.port}${url}`, {
      ...{ method, headers: headers as Record<string, string>, signal: leaving.signal },
      ...(method === "POST" && { body: streamOf(incoming) as BodyInit, duplex: "half" }),
    });
    void (async () => {
      const { status, headers, body } = await handler(request);
      outgoing.writeHead(status, Object.fromEntries(headers));
      if (body === null) outgoing.end();
      else await pipeline(Readable.fromWeb(body as never), outgoing);
    })().catch(() => outgoing.destroy());
  });
  server.listen(told.port, "127.0.0.1");
}

/** Does what the test writes to standard input, a word a line; ends when the test is gone. */
export function obey(commands: Readonly<Record<string, () => Promise<unknown>>>): void {
  const lines = createInterface({ input: process.stdin });
  lines.on("close", () => process.exit(0));
  lines.on("line", (word) => {
    const done = commands[word]!();
    done.then(
      (value) => say(`${word} ${JSON.stringify(value ?? null)}`),
      (error: unknown) => say(`failed ${word} ${String(error)}`),
    );
  });
}

/** Runs a call until it is through: what it is about is kept, and asked for again under the same key. */
export async function insist<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof LedgerError) || !PASSING.includes(error.code)) {
        say(`failed ${String((error as LedgerError).code)} ${String(error)}`);
      }
      await pause(200);
    }
  }
}

const PASSING: readonly LedgerError["code"][] = ["ERR_CHAIN_PENDING"];

/** Opens a ledger, if need be again and again until the home is reached. */
export const tries = async <T>(open: () => Promise<T>): Promise<T> => {
  for (;;) {
    try {
      return await open();
    } catch (error) {
      note(error);
      await pause(200);
    }
  }
};

/** What went wrong on the way, for whoever looks for the reason of a failure. */
export function note(error: unknown): void {
  const { code = "", message } = error as { code?: string; message: string };
  appendFileSync(`${told.folder}/log`, `${Date.now()} ${process.pid} ${code} ${message}\n`);
}

/** Resources of a bundle: its transaction is more than nginx keeps in memory of a request. */
const OF_BUNDLE = 200;
/** One of so many is a bundle. */
const BUNDLE_EVERY = 10;

/** Somebody who records without end, in several calls at a time, until told to rest. */
export function recordOn(
  hl: Ledger,
  options: { readonly writers: number; readonly every: number; readonly bundles: boolean },
) {
  const { writers, every, bundles } = options;
  const acknowledged = `${told.folder}/acks`;
  let isResting = false;
  const before = linesOf(acknowledged);
  const patientOf = (writer: number): Promise<Subject> =>
    hl.ensureSubject({ system: "urn:oid:1.2.3", value: `${told.name}-${writer}` });

  async function write(writer: number): Promise<void> {
    const patient = await insist(() => patientOf(writer));
    const prefix = `${told.name}-${writer}-`;
    const own = before.filter((line) => line.startsWith(prefix));
    const first = 1 + Math.max(-1, ...own.map((line) => parseInt(line.slice(prefix.length), 10)));
    // The first one in any case: if this process was killed over it, nobody knows whether it is recorded.
    for (let n = first; n === first || !isResting; n++) {
      const names = await (bundles && n % BUNDLE_EVERY === 0 ? bundle : single)(
        patient,
        prefix + n,
      );
      appendFileSync(acknowledged, names.map((name) => `${name}\n`).join(""));
      await pause(every);
    }
  }

  async function single(patient: Subject, id: string): Promise<readonly string[]> {
    await insist(() => hl.record(patient, observation(id), { idempotencyKey: id }));
    return [id];
  }

  async function bundle(patient: Subject, name: string): Promise<readonly string[]> {
    const names = Array.from({ length: OF_BUNDLE }, (_, i) => `${name}-${i}`);
    const entry = names.map((id) => ({
      fullUrl: `https://ehr.example/fhir/Observation/${id}`,
      resource: observation(id),
    }));
    const sent = { resourceType: "Bundle", type: "collection", entry };
    await insist(() => hl.recordBundle(patient, sent, { source: told.name }));
    return names;
  }

  const writing = Promise.all(Array.from({ length: writers }, (_, i) => write(i)));
  return {
    async rest(): Promise<void> {
      isResting = true;
      await writing;
    },
    /**
     * All records that open here: the name of each, as often as it is there, and its first entry. What was filed
     * again before it was known that it is recorded is told apart as a repetition.
     */
    async opened(): Promise<readonly Opened[]> {
      const found: Opened[] = [];
      for (let writer = 0; writer < writers; writer++) {
        for (const { record, retracted, repeats } of await hl.records(await patientOf(writer))) {
          if (retracted && repeats !== undefined) continue;
          const { id } = JSON.parse(Buffer.from(await hl.read(record)).toString()) as {
            id: string;
          };
          found.push({ id, entry: record });
        }
      }
      return found;
    },
  };
}

/** A record that opens at its author. */
export interface Opened {
  /** The resource's. */
  readonly id: string;
  /** Of the entry that created it, which names it. */
  readonly entry: string;
}

function linesOf(file: string): readonly string[] {
  try {
    return readFileSync(file, "utf8").split("\n").slice(0, -1);
  } catch {
    return [];
  }
}

const observation = (id: string) => ({
  ...{ resourceType: "Observation", id, status: "final" },
  code: { coding: [{ system: "http://loinc.org", code: "8480-6", display: "Systolic" }] },
  valueQuantity: { value: 120, unit: "mmHg" },
});
