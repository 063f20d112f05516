import { MAX_AMOUNT, minorDigits } from "../../contract/claims/amounts.ts";
import type { Minor } from "../../contract/claims/model.ts";
import {
  decimalOf,
  type Element,
  type ExactDecimal,
  field,
  listOf,
  optional,
  textOf,
  unsupported,
} from "./element.ts";

/** An amount in minor units of the claim's currency, exactly. */
export function moneyOf(element: Element, currency: string): Minor {
  return toMinor(amountOf(element, currency), element, currency);
}

function amountOf(element: Element, currency: string): ExactDecimal {
  const stated = field(element, "currency");
  if (textOf(stated) !== currency) throw unsupported(stated, "is not that of the other amounts");
  return decimalOf(field(element, "value"));
}

function toMinor({ digits, places }: ExactDecimal, at: Element, currency: string): Minor {
  const scaled = digits * 10n ** BigInt(minorDigits(currency));
  const whole = 10n ** BigInt(places);
  if (scaled % whole !== 0n) throw unsupported(at, "is finer than the currency");
  const minor = scaled / whole;
  if (minor < 0n || minor > BigInt(MAX_AMOUNT)) throw unsupported(at, "is no amount of a charge");
  return Number(minor);
}

/** The currency of the first amount of a claim. */
export function currencyOf(claim: Element): string {
  const amounts = [
    optional(claim, "total"),
    ...listOf(claim, "item").flatMap((item) => [
      optional(item, "net"),
      optional(item, "unitPrice"),
    ]),
  ];
  const first = amounts.find((amount) => amount !== undefined);
  if (first === undefined) throw unsupported({ path: `${claim.path}.item[0].net` }, "is missing");
  const currency = textOf(field(first, "currency"));
  if (!/^[A-Z]{3}$/.test(currency)) {
    throw unsupported({ path: `${first.path}.currency` }, "is no currency");
  }
  return currency;
}

/**
 * The charge of an item: its net amount, or price × quantity × factor; where both are stated they must agree,
 * and so must the net amounts of its details, where all have one. `undefined` if none is stated.
 */
export function chargeOf(item: Element, currency: string): Minor | undefined {
  const net = optional(item, "net");
  const price = optional(item, "unitPrice");
  const computed = price && product(item, price, currency);
  if (net === undefined) {
    return price && computed && toMinor(computed, price, currency);
  }
  const charge = moneyOf(net, currency);
  if (computed !== undefined && toMinor(computed, net, currency) !== charge) {
    throw unsupported(net, "is not price × quantity × factor");
  }
  checkDetails(item, charge, currency);
  return charge;
}

function product(item: Element, price: Element, currency: string): ExactDecimal {
  const factors = [amountOf(price, currency)];
  const quantity = optional(item, "quantity");
  if (quantity !== undefined) factors.push(decimalOf(field(quantity, "value")));
  const factor = optional(item, "factor");
  if (factor !== undefined) factors.push(decimalOf(factor));
  return factors.reduce((a, b) => ({ digits: a.digits * b.digits, places: a.places + b.places }));
}

function checkDetails(item: Element, charge: Minor, currency: string): void {
  const nets = listOf(item, "detail").map((detail) => optional(detail, "net"));
  if (nets.length === 0 || nets.includes(undefined)) return;
  const sum = nets.reduce((total, net) => total + moneyOf(net!, currency), 0);
  if (sum !== charge) {
    throw unsupported({ path: `${item.path}.detail` }, "does not add up to the item's net amount");
  }
}
