// @ts-check
// The page itself: what is clicked, and what is shown. Whatever comes from elsewhere is written as text.
import { LedgerError } from "healthledger";
import { consentsOf, hospital, toHex } from "./hospital.mjs";
import { keptKeys, makeKeys } from "./keys.mjs";

/** @typedef {import("./hospital.mjs").Keys} Keys */

/** HL7's codes in plain words; what is not here is shown as it is. @type {Readonly<Record<string, string>>} */
const PURPOSES = {
  TREAT: "treatment",
  HRESCH: "research",
  HPAYMT: "payment",
  BTG: "emergency (break the glass)",
  PATRQT: "the patient's own request",
};
/** @type {Readonly<Record<string, string>>} */
const WORDS = {
  ERR_TRANSPORT_REFUSED:
    "The hospital refused and does not say why. Has it attested these keys, and is the number right?",
  ERR_TRANSPORT_FAILED: "The hospital was not reached. Try again: doing it twice does no harm.",
  ERR_ENVELOPE_INVALID: "What came is not proved to be from the hospital, so it is not shown.",
  ERR_ENVELOPE_DECRYPT: "What came is not proved to be from the hospital, so it is not shown.",
};

/** @param {string} id */
function element(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found;
}
const button = (/** @type {string} */ id) => /** @type {HTMLButtonElement} */ (element(id));
/** @param {string} text */
const tell = (text) => void (element("outcome").textContent = text);

/** @param {keyof HTMLElementTagNameMap} name @param {string} text */
function made(name, text) {
  const one = document.createElement(name);
  one.textContent = text;
  return one;
}

/** @param {readonly string[] | undefined} codes */
const purposesIn = (codes) =>
  codes === undefined ? "every purpose" : codes.map((code) => PURPOSES[code] ?? code).join(", ");
const dateOf = (/** @type {number | string} */ time) =>
  typeof time === "number" ? new Date(time).toLocaleString("en-GB") : time;

const setup = await (await fetch("/setup.json")).json();
const them = hospital(setup);
/** @type {Keys | undefined} */
let keys = await keptKeys();

/** The number under which the hospital knows the patient. It leaves this page sealed alone. */
const patient = () => ({
  system: setup.system,
  value: /** @type {HTMLInputElement} */ (element("number")).value.trim(),
});

function mine() {
  if (keys === undefined) throw new Error("make your keys first");
  return keys;
}

function showKeys() {
  if (keys === undefined) return;
  const { signer, agreement } = keys;
  element("actor").textContent = signer.actor;
  element("sign-key").textContent = `${signer.alg} ${toHex(signer.publicKey)}`;
  element("agree-key").textContent = `${agreement.alg} ${toHex(agreement.publicKey)}`;
  element("keys").hidden = false;
  button("make").disabled = true;
  button("attest").disabled = false;
}

/** @param {ReturnType<typeof consentsOf>[number]} one */
function consentItem({ consent, standing }) {
  const { root, validity, lineage, ...rest } = consent.directive;
  const word = root?.effect === "permit" ? "Permits" : "Refuses";
  const otherwise = { permit: "permits", deny: "refuses", none: "says nothing about" }[
    rest.default
  ];
  const has =
    root?.rules !== undefined || Object.keys(root?.when ?? {}).some((k) => k !== "purposes");
  const item = made(
    "li",
    `${word} ${purposesIn(root?.when.purposes)}${has ? ", with conditions" : ""}; ${otherwise} the rest. ` +
      `From ${dateOf(validity.from)}${validity.to === undefined ? "" : ` to ${dateOf(validity.to)}`}. `,
  );
  item.append(made("strong", `Now ${standing}. `));
  if (standing === "in force") {
    const withdraw = /** @type {HTMLButtonElement} */ (made("button", "Withdraw"));
    withdraw.type = "button";
    withdraw.setAttribute("aria-label", `Withdraw the consent “${lineage}”`);
    does(withdraw, async () => {
      await them.withdraw(mine(), patient(), consent);
      await show();
      element("outcome").focus(); // the button is gone
      tell(
        "Your withdrawal is filed at the hospital, and that is proved. It counts from now on; what was given out " +
          "before cannot be called back.",
      );
    });
    item.append(withdraw);
  }
  return item;
}

/** @param {import("./hospital.mjs").Pulled} one */
function accessCells(one) {
  if (one.kind === "erased") return ["", "", "This entry was erased; only its number is left", ""];
  if (one.kind !== "access" && one.kind !== "difference") return undefined;
  const { access, recordedAt, kind } = one;
  const given = access.records.filter(({ released }) => released).length;
  const by = access.user === undefined ? "" : ` (${access.user})`;
  return [
    dateOf(recordedAt),
    them.nameOf(access.requester) + by,
    purposesIn(access.purposes),
    kind === "access"
      ? `${given} of ${access.records.length} records`
      : `correction: ${access.records.length} of these records were not given out after all`,
  ];
}

/** Reads everything and shows it; nothing of it if anything is not proved. */
async function show() {
  element("consents").replaceChildren();
  element("accesses").replaceChildren();
  const filed = await them.filed(mine(), patient());
  const consents = consentsOf(filed, Date.now());
  element("consents").replaceChildren(...consents.map(consentItem));
  for (const one of filed) {
    const cells = accessCells(one);
    if (cells === undefined) continue;
    const row = document.createElement("tr");
    row.append(...cells.map((text) => made("td", text)));
    element("accesses").append(row);
  }
}

let isBusy = false;

/**
 * What a button or a form does: one thing at a time, and what became of it in words.
 *
 * @param {HTMLElement} target @param {() => Promise<void>} act @param {string} [event]
 */
function does(target, act, event = "click") {
  target.addEventListener(event, async (happened) => {
    happened.preventDefault();
    if (isBusy) return;
    isBusy = true;
    tell("One moment …");
    try {
      await act();
    } catch (error) {
      const code = error instanceof LedgerError ? error.code : "";
      tell(WORDS[code] ?? `It did not work: ${error instanceof Error ? error.message : ""}`);
    } finally {
      isBusy = false;
    }
  });
}

/** @param {string} path @param {unknown} body */
async function demo(path, body) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`the demonstration answered ${response.status}`);
  return response.json();
}

does(button("make"), async () => {
  keys = await makeKeys();
  showKeys();
  tell("You have keys. Now show them to the hospital.");
});
does(
  element("read"),
  async () => {
    await show();
    tell("This is everything that is filed about you, and each entry is proved.");
  },
  "submit",
);
does(button("attest"), async () => {
  const { signer, agreement } = mine();
  await demo("/demo/attest", {
    actor: signer.actor,
    sign: { alg: signer.alg, publicKey: toHex(signer.publicKey) },
    agree: { alg: agreement.alg, publicKey: toHex(agreement.publicKey) },
  });
  tell("The hospital has attested that these keys are yours.");
});
does(button("clinic"), async () => {
  const { count } = await demo("/demo/clinic-asks", {});
  tell(`The clinic asked, and was given ${count} records.`);
});

showKeys();
tell(keys === undefined ? "Make your keys to begin." : "Your keys are in this browser.");
