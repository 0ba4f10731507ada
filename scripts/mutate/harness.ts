/**
 * Replaces vitest while mutants run. It collects the tests of many files in one process, so that each can run again at
 * once, under any mutant.
 *
 * It has only what the tests of this project use; what `@effect/vitest` adds comes from that package.
 */
import { addCustomEqualityTesters, JestAsymmetricMatchers, JestChaiExpect, JestExtend } from "@vitest/expect"
import * as chai from "chai"

type Body = (...args: Array<never>) => unknown
interface Options {
  readonly timeout?: number
}

interface Suite {
  readonly name: string
  readonly parent: Suite | null
  /** runs once, before the first test below them */
  readonly before: Array<() => unknown>
  ready: boolean
}

/** One test. */
export interface Case {
  readonly file: string
  readonly name: string
  readonly run: (signal: AbortSignal) => Promise<void>
}

export const cases: Array<Case> = []
let file = ""
let suite: Suite | null = null

/** Collects the tests that a file registers while it loads. */
export const collect = async (path: string, load: () => Promise<unknown>): Promise<void> => {
  file = path
  suite = null
  await load()
}

const titleOf = (name: string): string => {
  const names = [name]
  for (let at = suite; at !== null; at = at.parent) names.unshift(at.name)
  return names.join(" > ")
}

const prepare = async (of: Suite | null): Promise<void> => {
  if (of === null || of.ready) return
  await prepare(of.parent)
  of.ready = true
  for (const before of of.before) await before()
}

const register = (name: string, call: (context: object) => unknown): void => {
  const owner = suite
  cases.push({
    file,
    name: titleOf(name),
    run: async (signal) => {
      await prepare(owner)
      const after: Array<() => unknown> = []
      const context = { signal, onTestFinished: (end: () => unknown) => void after.push(end) }
      try {
        await call(context)
      } finally {
        for (const end of after.reverse()) await end()
      }
    }
  })
}

/** `it(name, body, options)` and `it(name, options, body)`. */
const bodyOf = (first: unknown, second: unknown): Body | null =>
  typeof first === "function" ? first as Body : typeof second === "function" ? second as Body : null

const test = (name: string, first?: Body | Options, second?: Body | Options | number): void => {
  const body = bodyOf(first, second)
  if (body !== null) register(name, (context) => body(context as never))
}

const nothing = (): void => undefined

const each = (list: ReadonlyArray<unknown>) => (name: string, first?: unknown, second?: unknown): void => {
  const body = bodyOf(first, second)
  list.forEach((item, i) => {
    const args: ReadonlyArray<unknown> = Array.isArray(item) ? item : [item]
    if (body !== null) register(`${name} (${i + 1})`, () => body(...args as Array<never>))
  })
}

const forEach = (list: ReadonlyArray<unknown>) => (name: string, first?: unknown, second?: unknown): void => {
  const body = bodyOf(first, second)
  list.forEach((item, i) => {
    if (body !== null) register(`${name} (${i + 1})`, (context) => body(item as never, context as never))
  })
}

const fails = (name: string, first?: Body | Options, second?: Body | Options): void => {
  const body = bodyOf(first, second)
  if (body === null) return
  register(name, async (context) => {
    const failed = await Promise.resolve(body(context as never)).then(() => false, () => true)
    if (!failed) chai.assert.fail("expected to fail")
  })
}

const skip = Object.assign(nothing, { each: () => nothing, for: () => nothing })

export const it = Object.assign(test, {
  each,
  for: forEach,
  fails,
  only: test,
  skip,
  todo: nothing,
  skipIf: (condition: unknown) => condition ? skip : it,
  runIf: (condition: unknown) => condition ? it : skip,
  concurrent: test,
  sequential: test,
  scoped: undefined
})
export { it as test }

const group = (name: string, first?: Body | Options, second?: Body | Options): void => {
  const outer: Suite | null = suite
  suite = { name, parent: outer, before: [], ready: false }
  bodyOf(first, second)?.(it as never)
  suite = outer
}

export const describe = Object.assign(group, {
  concurrent: group,
  sequential: group,
  only: group,
  skip: nothing,
  skipIf: (condition: unknown) => condition ? nothing : group,
  runIf: (condition: unknown) => condition ? group : nothing,
  each: (list: ReadonlyArray<unknown>) => (name: string, body: Body): void =>
    list.forEach((item, i) => group(`${name} (${i + 1})`, () => body(item as never)))
})

export const beforeAll = (before: () => unknown): void => void suite?.before.push(before)
/** Ignored: a suite never ends here, because its tests run again and again. */
export const afterAll = nothing

chai.use(JestExtend)
chai.use(JestChaiExpect)
chai.use(JestAsymmetricMatchers)

export const expect = Object.assign(
  (value: unknown, message?: string) => chai.expect(value, message),
  chai.expect,
  { addEqualityTesters: addCustomEqualityTesters }
)
export const { assert } = chai
export { chai }
