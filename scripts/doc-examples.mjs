// @ts-check
// Writes each `@example` of the sources as a program, so that a compiler can check it. What the package
// exports is imported; other names that an example takes as given must be listed here.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import ts from "typescript";
import { entryPoints } from "./entry-points.mjs";

/** @param {string} name @param {string} [subpath] */
const type = (name, subpath = "") => `import("healthledger${subpath}").${name}`;
const bytes = "Uint8Array";
const text = "string";

/** Types of the names that examples take as given, in all sources. */
/** @type {Readonly<Record<string, string>>} */
const GIVEN = {
  agreement: type("KeyAgreement"),
  chain: type("AppendableChain", "/chain"),
  checkpoint: bytes,
  clinic: type("KeyStore"),
  custodian: text,
  device:
    "{ publicKey: Uint8Array } & Record<'ecdh' | 'decapsulate', (ek: Uint8Array) => Promise<Uint8Array>>",
  genesis: bytes,
  hl: type("Ledger"),
  hospital: type("KeyStore"),
  json: text,
  keys: type("KeyStore"),
  nonce: bytes,
  patient: type("Subject"),
  random: "(length: number) => Uint8Array",
  readFile: 'typeof import("node:fs/promises").readFile',
  receipt: bytes,
  received: bytes,
  request: bytes,
  resource: type("FhirResource", "/fhir"),
  signer: type("Signer"),
  storage: type("FullStorage", "/storage/adapter"),
  text,
};

/** The same, in the sources of one folder only. */
/** @type {Readonly<Record<string, Readonly<Record<string, string>>>>} */
const GIVEN_IN = {
  block: {
    blockBytes: bytes,
    entry: bytes,
    envelope: type("Ledger") + '["id"]',
    file: "{ write(bytes: Uint8Array): Promise<unknown> }",
    place: type("EntryPlace", "/chain"),
    subject: bytes,
    transaction: type("TransactionWithEntries", "/chain"),
    tx: bytes,
  },
  chain: {
    blockBytes: bytes,
    blocks: `AsyncIterable<${bytes}>`,
    car: bytes,
    consistency: `${bytes}[]`,
    createReadStream: 'typeof import("node:fs").createReadStream',
    entry: bytes,
    file: "{ write(bytes: Uint8Array): Promise<unknown> }",
    index: "number",
    key: type("NoteKey", "/chain"),
    hexKeyId: text,
    leaf: bytes,
    light: type("LightClient", "/light"),
    ledger: type("Ledger") + '["id"]',
    memory: type("LedgerMemory", "/chain"),
    member: text,
    note: bytes,
    otherNote: bytes,
    ours: bytes,
    people: "{ agreeTo(lines: readonly string[]): Promise<boolean> }",
    policySteps: bytes,
    proposal: bytes,
    send: "(bytes: Uint8Array) => void",
    theirs: bytes,
    place: type("EntryPlace", "/chain"),
    places: `readonly ${type("EntryPlace", "/chain")}[]`,
    readNodes: type("ReadNodes", "/merkle"),
    sequencer: type("Sequencer", "/chain"),
    steps: `${type("PolicyStep", "/verify")}[]`,
    temporaryFolder: text,
    text: bytes,
    transaction: type("TransactionWithEntries", "/chain"),
    trust: type("Trust"),
    vkey: text,
  },
  codec: { blob: bytes },
  consent: {
    asOf: "number",
    bytes,
    content: type("FhirResource", "/fhir"),
    decision: type("Decision", "/consent"),
    directive: type("Directive", "/consent"),
    hivCodes: "unknown",
    labeller: type("Labeller", "/consent"),
    observation: type("FhirResource", "/fhir"),
    question: type("Question"),
    reason: type("Reason", "/consent"),
    record: `${type("ConsentResource", "/consent")} & ${type("CurrentRecord")}`,
    records: `readonly ${type("ConsentResource", "/consent")}[]`,
    release: "(...released: unknown[]) => void",
    request: type("ConsentRequest", "/consent"),
    resource: type("ConsentResource", "/consent"),
    resources: `readonly ${type("ConsentResource", "/consent")}[]`,
    serviceUrl: text,
    snapshot: type("ConsentSnapshot", "/consent"),
    vitalSigns: "unknown",
  },
  contract: {
    accumulators: type("Accumulators", "/contract/claims"),
    bytes,
    cidOfThisPackage: type("Ledger") + '["id"]',
    claim: type("Claim", "/contract/claims"),
    counter: type("Contract", "/contract"),
    decideAgain: "(claim: string) => void",
    decided: type("ClaimDecision", "/contract/claims"),
    decision: type("ClaimDecision", "/contract/claims"),
    facts: type("ClaimFacts", "/contract/claims"),
    ledger: type("Ledger") + '["id"]',
    plan: type("BenefitPlan", "/contract/claims"),
    records: `readonly ${type("ClaimRecord", "/contract/claims")}[]`,
    reversal: type("ClaimReversal", "/contract/claims"),
    salt: bytes,
    secret: bytes,
  },
  envelope: {
    CID: 'typeof import("multiformats/cid").CID',
    author: type("SigningKey", "/envelope"),
    basis: bytes,
    collection: type("CollectionKey", "/envelope"),
    content: bytes,
    context: type("EnvelopeContext", "/envelope"),
    createReadStream: 'typeof import("node:fs").createReadStream',
    envelope: type("SealedEnvelope", "/envelope") + '["cid"]',
    file: "{ write(bytes: Uint8Array): Promise<unknown> }",
    grant: bytes,
    grantor: type("ExpectedGrant", "/envelope") + '["grantor"]',
    header: bytes,
    headerBytes: bytes,
    jwe: text,
    key: bytes,
    keys: type("EnvelopeKeys", "/envelope"),
    membership: bytes,
    newerBytes: bytes,
    newerEnvelope: type("SealedEnvelope", "/envelope") + '["cid"]',
    proof: bytes,
    put: type("SealStreamOptions", "/envelope") + '["put"]',
    read: type("BlockReader", "/envelope"),
    recipient: type("CoseRecipient", "/envelope"),
    recipients: `readonly ${type("CoseRecipient", "/envelope")}[]`,
    send: `(to: ${type("CoseRecipient", "/envelope")}, bytes: Uint8Array) => Promise<void>`,
    wrap: bytes,
  },
  fhir: {
    claimJson: text,
    consentJson: text,
    coverageJson: text,
    decision: type("ClaimDecision", "/contract/claims"),
    directive: type("Directive", "/consent"),
    labeller: type("Labeller", "/consent"),
    observation: type("FhirResource", "/fhir"),
    patient: type("FhirResource", "/fhir"),
  },
  identity: { passphrase: text },
  ledger: {
    directive: type("Directive", "/consent"),
    disclosed: type("DisclosureAnswer"),
    hospitalB: text,
    merged: type("EntryId"),
    person: type("PersonIdentifier"),
    signal: "AbortSignal",
  },
  network: {
    authorization: text,
    did: text,
    hospitalB: text,
    options: type("OpenLedgerOptions"),
    peer: type("LedgerPeer", "/network"),
    relay: text,
    replica: type("Replica", "/network"),
    signal: "AbortSignal",
    source: type("LedgerSource", "/network"),
    url: text,
    vkey: text,
    witness: type("LogWitness", "/chain"),
  },
  transport: {
    client: type("BucketCalls", "/transport/bucket"),
    hospitalB: text,
    source: type("LedgerSource", "/network"),
  },
  merkle: {
    fetchTile: `(level: number, index: number, width: number) => Promise<${bytes}>`,
    a: bytes,
    b: bytes,
    c: bytes,
    index: "number",
    key: bytes,
    leaves: `readonly ${bytes}[]`,
    mapProof: type("MapProof", "/merkle"),
    newRoot: bytes,
    newSize: "number",
    oldRoot: bytes,
    oldSize: "number",
    proof: `${bytes}[]`,
    readNodes: type("ReadNodes", "/merkle"),
    root: bytes,
    size: "number",
    value: bytes,
  },
  testing: {
    hospitalA: text,
    make: type("MakeStorage", "/testing"),
    source: type("LedgerSource", "/network"),
    open: `() => Promise<${type("FullStorage", "/storage/adapter")}>`,
  },
  storage: {
    batch: type("Commit", "/storage/adapter"),
    caps: type("StorageCaps", "/storage/adapter"),
    cid: type("Ledger") + '["id"]',
    closed: "boolean",
    digest: bytes,
    key: "unknown",
    listed: "readonly string[]",
    options: type("ScanOptions", "/storage/adapter"),
    record: bytes,
    stored: type("Head", "/storage/adapter"),
    DatabaseSync: `new (path: string) => ${type("SqliteDatabase", "/storage/sqlite")}`,
    client: type("S3Calls", "/storage/s3"),
    pool: type("PostgresPool", "/storage/postgres"),
  },
};

/** @returns {Promise<Map<string, string>>} for each exported value its first import path */
async function exportedValues() {
  const found = new Map();
  for (const path of entryPoints().keys()) {
    for (const name of Object.keys(await import(path))) {
      if (!found.has(name)) found.set(name, path);
    }
  }
  return found;
}

/** @param {string} code @returns {{ used: ReadonlySet<string>, declared: ReadonlySet<string> }} */
function namesOf(code) {
  const used = new Set();
  const declared = new Set();
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isIdentifier(node)) {
      const { parent } = node;
      const isDeclared =
        (ts.isVariableDeclaration(parent) || ts.isBindingElement(parent)) && parent.name === node;
      if (isDeclared || ts.isImportSpecifier(parent)) declared.add(node.text);
      else used.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("example.mts", code, ts.ScriptTarget.Latest, true));
  return { used, declared };
}

/** @param {string} source @returns {string[]} the examples in its docstrings */
function examplesOf(source) {
  return [...source.matchAll(/^ *\/\*\*\n([\s\S]*?)^ *\*\/$/gm)].flatMap(([, doc]) =>
    String(doc)
      .replace(/^ *\* ?/gm, "")
      .split(/^(?=@)/m)
      .filter((tag) => tag.startsWith("@example\n"))
      .map((tag) => tag.slice("@example\n".length)),
  );
}

/**
 * Writes every example of the sources into a folder. Wants a build.
 *
 * @param {string} folder
 * @returns {Promise<Map<string, string>>} for each file written, where its example stands
 */
export async function writeExamples(folder) {
  const exported = await exportedValues();
  const written = new Map();
  const sources = readdirSync("src", { recursive: true, encoding: "utf8" });
  for (const path of sources.filter((name) => name.endsWith(".ts")).sort()) {
    const [below = ""] = path.split(/[\\/]/);
    const given = { ...GIVEN, ...GIVEN_IN[below] };
    for (const [i, code] of examplesOf(readFileSync(join("src", path), "utf8")).entries()) {
      const { used, declared } = namesOf(code);
      const head = [...used].flatMap((name) => {
        if (declared.has(name)) return [];
        if (Object.hasOwn(given, name)) return [`declare const ${name}: ${given[name]};`];
        const from = exported.get(name);
        return from === undefined ? [] : [`import { ${name} } from "${from}";`];
      });
      const file = resolve(folder, `${path.replace(/[^a-z0-9]+/gi, "-")}-${i + 1}.mts`);
      // what is given comes last, so that the compiler counts the lines of the example
      writeFileSync(file, `${code}\nexport {};\n${head.join("\n")}\n`);
      written.set(file, `${join("src", path)}, @example ${i + 1}`);
    }
  }
  return written;
}
