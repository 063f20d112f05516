import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Page, Request } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { bundleExample } from "../support/bundle-example.ts";
import { describeBrowser, startChromium, type Browser } from "./chromium.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const MRN = { system: "urn:oid:1.2.3", value: "MRN-0012345" };

/** The ways in which a text may stand in bytes; base64 at each of the three offsets. */
const waysOf = (text: string): readonly string[] => {
  const bytes = Buffer.from(text);
  const shifted = [0, 1, 2].map((before) =>
    Buffer.concat([Buffer.alloc(before), bytes])
      .toString("base64")
      .slice(before === 0 ? 0 : 4, -4),
  );
  return [text, bytes.toString("hex"), ...shifted];
};

describeBrowser("examples/patient in Chromium", () => {
  let folder: string;
  let child: ChildProcess;
  let origin: string;
  let browser: Browser;
  let page: Page;
  const requests: Request[] = [];
  const complaints: string[] = [];

  const outcome = (): Promise<string> => page.locator("#outcome").innerText();
  const says = (text: RegExp): Promise<void> =>
    expect.poll(outcome, { timeout: 30_000 }).toMatch(text);
  const click = (name: string | RegExp): Promise<void> =>
    page.getByRole("button", { name }).click();
  const consents = (): Promise<string[]> => page.locator("#consents li").allInnerTexts();
  const accesses = (): Promise<string[][]> =>
    page
      .locator("#accesses tr")
      .evaluateAll((rows) =>
        rows.map((row) => [...row.querySelectorAll("td")].map(({ textContent }) => textContent!)),
      );
  /** The clinic, what for, and how many records were given out; when is another expectation's. */
  const seen = async (): Promise<string[][]> => (await accesses()).map(([, ...rest]) => rest);
  const read = async (): Promise<void> => {
    await click("Read what is filed about me");
    await says(/each entry is proved/);
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(root, "node_modules", ".patient-"));
    await cp(join(root, "examples/patient"), folder, { recursive: true });
    const script = await bundleExample("patient/page", folder, ["jose"], "browser");
    await rename(script, join(folder, "page.js"));
    const program = await bundleExample("patient/server", folder, ["esbuild"]);
    child = spawn(process.execPath, [program, "--page", folder], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface(child.stdout!)) {
      if (!line.startsWith("http://")) continue;
      origin = new URL(line).origin;
      break;
    }
    browser = await startChromium(join(folder, "profile"));
    page = await browser.open("about:blank");
    page.on("request", (request) => requests.push(request));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning")
        complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    await page.goto(origin);
  }, 120_000);
  afterAll(async () => {
    await browser?.kill();
    if (child?.kill("SIGKILL")) await once(child, "exit");
    if (folder !== undefined) await rm(folder, { recursive: true, force: true, maxRetries: 20 });
  });

  it("shows the keys that the hospital is to attest", async () => {
    await says(/Make your keys/);
    await click("Make my keys");
    await says(/You have keys/);
    expect(await page.locator("#actor").innerText()).toMatch(/^did:key:zDn/);
    expect(await page.locator("#sign-key").innerText()).toMatch(/^ES256 0[23][0-9a-f]{64}$/);
    expect(await page.locator("#agree-key").innerText()).toMatch(/^P-256 0[23][0-9a-f]{64}$/);
  });

  it("learns nothing before they are attested, and not by another's number after", async () => {
    const number = page.getByLabel("My number at the hospital");
    await number.fill(MRN.value);
    await click("Read what is filed about me");
    await says(/The hospital refused and does not say why/);
    expect([await consents(), await accesses()]).toEqual([[], []]);
    await click("Hospital: attest these keys");
    await says(/has attested/);
    await number.fill("MRN-0054321");
    await click("Read what is filed about me");
    await says(/The hospital refused and does not say why/);
    await number.fill(MRN.value);
    // What was refused is no fault of the page; Chromium complains of each status 403.
    expect(complaints.splice(0).filter((text) => !text.includes("403"))).toEqual([]);
  });

  it("sees who saw what, and which consent is in force", async () => {
    const from = Date.now() - 600_000;
    await read();
    expect(await seen()).toEqual([["South Clinic (dr-lee)", "treatment", "3 of 3 records"]]);
    const [[when]] = (await accesses()) as [[string]];
    const [, day, month, year, time] = /^(\d\d)\/(\d\d)\/(\d{4}), ([\d:]{8})$/.exec(when)!;
    const at = await page.evaluate(
      (local) => new Date(local).getTime(),
      `${year}-${month}-${day}T${time}`,
    );
    expect(at).toBeGreaterThan(from);
    expect(at).toBeLessThanOrEqual(Date.now());
    const [consent, ...others] = await consents();
    expect(others).toEqual([]);
    expect(consent).toMatch(/^Permits treatment; refuses the rest\. From .* Now in force\./);
  });

  it("keeps its keys when it is loaded anew, and no script can read them", async () => {
    const shown = () => page.locator("#keys").innerText();
    const before = await shown();
    await page.reload();
    await says(/Your keys are in this browser/);
    expect(await shown()).toBe(before);
    const results = await page.evaluate(async () => {
      const opening = indexedDB.open("my-keys");
      await new Promise((resolve) => opening.addEventListener("success", resolve));
      const reading = opening.result.transaction("pairs").objectStore("pairs").get("mine");
      await new Promise((resolve) => reading.addEventListener("success", resolve));
      opening.result.close();
      const { sign, agree } = reading.result as Record<"sign" | "agree", CryptoKeyPair>;
      return Promise.all(
        [sign, agree].flatMap(({ privateKey }) =>
          (["pkcs8", "jwk"] as const).map((format) =>
            crypto.subtle.exportKey(format, privateKey).then(
              () => "exported",
              (error: Error) => error.name,
            ),
          ),
        ),
      );
    });
    expect(results).toEqual(Array<string>(4).fill("InvalidAccessError"));
  });

  it("signs a withdrawal: the clinic gets nothing from then on, and the patient sees that it asked", async () => {
    await page.getByLabel("My number at the hospital").fill(MRN.value);
    await read();
    await click(/^Withdraw/);
    await says(/Your withdrawal is filed at the hospital, and that is proved/);
    expect((await consents()).map((text) => /Now withdrawn\. *$/.test(text))).toEqual([true]);
    expect(await page.getByRole("button", { name: /^Withdraw/ }).count()).toBe(0);
    await click("Clinic: ask for the records");
    await says(/was given 0 records/);
    await read();
    expect(await seen()).toEqual([
      ["South Clinic (dr-lee)", "treatment", "3 of 3 records"],
      ["South Clinic (dr-lee)", "treatment", "0 of 3 records"],
    ]);
  });

  it("sends no identifier, asks nobody else, and complains of nothing", async () => {
    const actor = await page.locator("#actor").innerText();
    const keys = await page.locator("#sign-key, #agree-key").allInnerTexts();
    const asks = requests.filter((request) => new URL(request.url()).pathname === "/ledger/ask");
    expect(asks.length).toBeGreaterThanOrEqual(6);
    // Who asks is a lasting pseudonym: it is sealed, too.
    for (const body of asks.map((request) => request.postDataBuffer()!)) {
      expect(body.length).toBeGreaterThan(200);
      for (const text of [actor, ...keys]) {
        const hex = /[0-9a-f]{66}/.exec(text)?.[0] ?? Buffer.from(text).toString("hex");
        expect(body.includes(Buffer.from(hex, "hex"))).toBe(false);
        for (const way of waysOf(text)) expect(body.includes(way)).toBe(false);
      }
    }
    for (const request of requests) {
      expect(new URL(request.url()).origin).toBe(origin);
      const body = request.postDataBuffer() ?? Buffer.alloc(0);
      const sent = `${request.url()}\n${JSON.stringify(request.headers())}\n${body.toString("latin1")}`;
      for (const identifier of [MRN.value, MRN.system]) {
        for (const way of waysOf(identifier))
          expect(sent.toLowerCase()).not.toContain(way.toLowerCase());
      }
    }
    expect(complaints).toEqual([]);
  });

  it("shows nothing of an answer that was altered on the way", async () => {
    let altered = 0;
    await page.route("**/ledger/ask", async (route) => {
      const response = await route.fetch();
      const body = await response.body();
      body[body.length - 20]! ^= 1;
      altered += 1;
      await route.fulfill({ response, body });
    });
    await click("Read what is filed about me");
    await says(/not proved to be from the hospital, so it is not shown/);
    expect([await consents(), await accesses()]).toEqual([[], []]);
    expect(altered).toBe(1);
    await page.unroute("**/ledger/ask");
    await read();
    expect(await consents()).toHaveLength(1);
  });

  it("lets no text become a script, and no script reach elsewhere", async () => {
    const attempts = await page.evaluate(async () => {
      const outcomeOf = async (act: () => unknown): Promise<string> => {
        try {
          await act();
          return "done";
        } catch (error) {
          return (error as Error).name;
        }
      };
      const inline = document.createElement("script");
      const elsewhere = document.createElement("img");
      return Promise.all([
        outcomeOf(() => void (document.body.innerHTML = "<p>x</p>")),
        outcomeOf(() => void (inline.text = "globalThis.reached = true")),
        outcomeOf(() => fetch("http://127.0.0.1:9/")),
        outcomeOf(
          () =>
            new Promise((resolve, reject) => {
              elsewhere.addEventListener("load", resolve);
              elsewhere.addEventListener("error", () => reject(new TypeError("refused")));
              elsewhere.src = "http://127.0.0.1:9/";
            }),
        ),
      ]);
    });
    expect(attempts).toEqual(Array<string>(4).fill("TypeError"));
    expect(complaints.filter((text) => text.includes("Content Security Policy"))).not.toEqual([]);
    const { headers } = await fetch(origin);
    expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
  });

  it("can be used by the keyboard alone, and names what it has", async () => {
    await page.reload();
    await says(/Your keys are in this browser/);
    expect(await page.locator("html").getAttribute("lang")).toBe("en");
    await page.keyboard.press("Tab");
    await page.keyboard.type(MRN.value);
    await page.keyboard.press("Enter");
    await says(/each entry is proved/);
    expect(await page.getByRole("table", { name: "Who saw what" }).getByRole("row").count()).toBe(
      1 + 2,
    );
    expect(await page.getByRole("list", { name: "Consents" }).count()).toBe(1);
  });
});
