// What the suites take from aegir: chai with promises, and `true`, `false`, `ok` that may be called.
import { Assertion, expect, use } from "chai";
import promises from "chai-as-promised";

use(promises);
for (const name of ["true", "false", "ok"]) {
  const { get } = Object.getOwnPropertyDescriptor(Assertion.prototype, name);
  Object.defineProperty(Assertion.prototype, name, {
    configurable: true,
    get() {
      get.call(this);
      return () => this;
    },
  });
}

export { expect };
