import { addEqualityTesters, chai } from "@effect/vitest"
import * as Option from "effect/Option"

addEqualityTesters()

/**
 * Compares options by their value. Chai compares iterables by the items they yield, by which options with and without
 * a value are equal.
 */
const told = (value: unknown): unknown => {
  if (Option.isOption(value)) {
    return Option.match(value, { onNone: () => "none", onSome: (some) => ({ some: told(some) }) })
  }
  if (Array.isArray(value)) return value.map(told)
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, told(part)]))
}

chai.config.deepEqual = (expected, actual) =>
  chai.util.eql(expected, actual) && chai.util.eql(told(expected), told(actual))
