import { addEqualityTesters, chai } from "@effect/vitest"
import * as Option from "effect/Option"

addEqualityTesters()

/**
 * To chai all options with and without a value are alike: they can be iterated over, and so are compared by what that
 * yields, which tells nothing. Here an option is what it says.
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
