/** The global `crypto`: randomness from the guest's own generator, `subtle` from the hub. */
import { DOMException } from "./dom-exception.ts";
import { asBytes, typedArrayName } from "./primordials.ts";
import { fillRandom, randomUuid } from "./random.ts";
import type { Subtle } from "./subtle.ts";

export interface Crypto {
  readonly subtle: Subtle;
  randomUUID(): string;
  getRandomValues<T>(array: T): T;
}

const integers = /^(Ui|I)nt(8|16|32)(Clamped)?Array$|^Big(Ui|I)nt64Array$/;

export function createCrypto(subtle: Subtle): Crypto {
  return {
    subtle,
    randomUUID: () => randomUuid(),
    getRandomValues(array) {
      const bytes = asBytes(array);
      if (bytes === undefined || !integers.test(typedArrayName(array) ?? "")) {
        throw new DOMException("An array of integers is needed", "TypeMismatchError");
      }
      if (bytes.length > 65_536) throw new DOMException("At most 65536 bytes a call", "QuotaExceededError");
      fillRandom(bytes);
      return array;
    },
  };
}
