import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { ClientCertificate } from "./https-fetch.ts";

const run = promisify(execFile);

/** An authority of one's own, and what it signed, in a folder. */
export interface Certificates {
  /** Folder with `server.pem`, `server.key` and `members.pem`, the names that the guide uses. */
  readonly folder: string;
  readonly member: ClientCertificate;
  /** Of the same name, signed by another authority. */
  readonly stranger: ClientCertificate;
}

/** Makes them by openssl. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  await mkdir(folder, { recursive: true });
  const openssl = (...args: string[]) => run("openssl", args, { cwd: folder });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const authority = (name: string) =>
    openssl(
      ...["req", "-x509", ...key, "-keyout", `${name}.key`, "-out", `${name}.pem`],
      ...["-days", "2", "-subj", `/CN=${name}`],
    );
  async function signed(name: string, by: string, extension: string): Promise<void> {
    await writeFile(join(folder, "extension"), extension);
    await openssl(
      ...["req", ...key, "-keyout", `${name}.key`, "-out", "request", "-subj", `/CN=${name}`],
    );
    await openssl(
      ...["x509", "-req", "-in", "request", "-CA", `${by}.pem`, "-CAkey", `${by}.key`],
      ...["-CAcreateserial", "-days", "2", "-extfile", "extension", "-out", `${name}.pem`],
    );
  }
  await authority("members");
  await authority("others");
  await signed("server", "members", "subjectAltName=IP:127.0.0.1");
  await signed("member", "members", "extendedKeyUsage=clientAuth");
  await signed("stranger", "others", "extendedKeyUsage=clientAuth");
  const text = (name: string): Promise<string> => readFile(join(folder, name), "utf8");
  const ca = await text("members.pem");
  const of = async (name: string): Promise<ClientCertificate> => ({
    ...{ ca, cert: await text(`${name}.pem`), key: await text(`${name}.key`) },
  });
  return { folder, member: await of("member"), stranger: await of("stranger") };
}
