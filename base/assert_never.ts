/** The default branch of a switch over a closed union: does not compile while a case is missing. */

/** @throws TypeError when the types were wrong after all. */
export function assertNever(value: never): never {
  throw new TypeError(`Cannot handle ${String(value)}: want one of the cases of its type`);
}
