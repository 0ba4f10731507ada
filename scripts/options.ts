/** Reads the options of the command line strictly: a misspelt option must not look like a run that found nothing. */
import { parseArgs } from "node:util"

interface Kinds {
  /** options with a number, and its minimum */
  readonly numbers?: Readonly<Record<string, number>>
  readonly texts?: ReadonlyArray<string>
  readonly flags?: ReadonlyArray<string>
}

export interface Options {
  readonly has: (name: string) => boolean
  readonly number: (name: string, fallback: number) => number
  readonly text: (name: string) => string | undefined
}

/** Says what is wrong with the call of the program, and exits. */
export const refuse = (reason: string): never => {
  console.error(reason)
  process.exit(2)
}

const given = (names: ReadonlyArray<string>, flags: ReadonlyArray<string>): Readonly<Record<string, unknown>> => {
  const options = Object.fromEntries([
    ...names.map((name) => [name, { type: "string" }] as const),
    ...flags.map((name) => [name, { type: "boolean" }] as const)
  ])
  try {
    return parseArgs({ options, allowPositionals: false }).values
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error))
  }
}

export const read = ({ flags = [], numbers = {}, texts = [] }: Kinds): Options => {
  const values = given([...Object.keys(numbers), ...texts], flags)
  for (const [name, least] of Object.entries(numbers)) {
    const value = values[name]
    if (value === undefined) continue
    const number = Number(value)
    if (value === "" || !(number >= least)) refuse(`--${name} takes a number, ${least} or more, not "${String(value)}"`)
  }
  return {
    has: (name) => values[name] !== undefined,
    number: (name, fallback) => values[name] === undefined ? fallback : Number(values[name]),
    text: (name) => typeof values[name] === "string" ? values[name] : undefined
  }
}
