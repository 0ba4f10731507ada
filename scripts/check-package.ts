/**
 * Packs the package, installs the tarball into applications outside the repository, and checks there that it installs,
 * loads, compiles and shows its types in an editor. `.ci/run` and `npm run check:package` call it.
 *
 * The last line is "N passed, N failed". If TEST_SUMMARY names a file, the line is written there.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { publint } from "publint"
import { install, installLines, pack, root, run } from "./check-package/application.js"
import type { Compiled } from "./check-package/types.js"
import { compile, hovers } from "./check-package/types.js"

/** Packages that no entry point loads: other packages of Effect require them. */
const never = ["@effect/cluster", "@effect/rpc", "@effect/workflow"]

/** Layers that need more than `effect`. */
const native = ["RuntimeStoreSqlite", "RuntimeStoreReaderSqlite", "BlobStoreFileSystem"]

const application = `
import { CoreExecutor, MeerkatMachine, MeerkatMachineLive, RuntimeControlPlaneLive, Turn } from "effect-meerkat"
import * as CoreExecutorCommand from "effect-meerkat/command"
import * as Sqlite from "effect-meerkat/sqlite"
import { FaultyStore } from "effect-meerkat/testkit"
import { RuntimeCommit } from "effect-meerkat/unstable"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

export const live = Layer.provide(MeerkatMachineLive.layer, Sqlite.layer({ filename: "store.db" }))
export const controlled = Layer.provideMerge(RuntimeControlPlaneLive.layer, live)
export const shell = CoreExecutorCommand.make({ command: { shell: "cat" } })
export const output = CoreExecutorCommand.output({ command: { shell: "cat" } })
export const faults = FaultyStore.make
export const unstable = RuntimeCommit
export const executor = CoreExecutor.make((turn) => Effect.as(Stream.runCount(turn.history), Turn.reply("hello")))
export const program = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const session = yield* machine.sessionScoped("demo", executor)
  const prompted = yield* session.prompt("hello", { idempotencyKey: "1" })
  const outcome = yield* prompted.completion.wait
  return { machine, session, prompted, outcome, events: session.events, snapshot: yield* session.snapshot }
})
`

const hovered = `
import { CoreExecutor, MeerkatMachine, Turn } from "effect-meerkat"
import * as Effect from "effect/Effect"

export const executor = CoreExecutor.make((turn) => Effect.as(Effect.succeed(turn.history), Turn.reply("hello")))
export const program = Effect.gen(function*() {
  const machine = yield* MeerkatMachine.MeerkatMachine
  const session = yield* machine.sessionScoped("demo", executor)
  const { completion } = yield* session.prompt("hello")
  return yield* completion.wait
})
`

/** The types that an editor shows over a phrase of the text above, one of them, together with documentation. */
const expected: Readonly<Record<string, ReadonlyArray<string>>> = {
  "completion.wait": ["Effect<Completion.CompletionOutcome", "Effect<CompletionOutcome"],
  "turn.history": ["Stream<Message", "Stream.Stream<Message"],
  "session.prompt": ["Effect<MeerkatMachine.Prompted", "Effect<Prompted", "Effect.Effect<Prompted"]
}

const none = (problems: ReadonlyArray<string>): void => {
  if (problems.length > 0) throw new Error(problems.join("\n"))
}

const counts = { passed: 0, failed: 0 }

/** Runs one check and prints its result; a failure does not stop the other checks. */
const check = async <A>(title: string, body: () => A | Promise<A>): Promise<A | null> => {
  const startedAt = performance.now()
  const took = () => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`
  try {
    const value = await body()
    counts.passed++
    console.log(`passed: ${title} (${took()})`)
    return value
  } catch (error) {
    counts.failed++
    console.error(`failed: ${title} (${took()})\n${error instanceof Error ? error.message : String(error)}`)
    return null
  }
}

const lint = async (tarball: string): Promise<void> => {
  const file = readFileSync(tarball)
  const content = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength) as ArrayBuffer
  const { messages } = await publint({ pack: { tarball: content }, strict: true })
  none(messages.map((message) => `${message.type}: ${message.code} at ${message.path.join(".")}`))
}

/** Imports the modules in one process that fails for the forbidden packages. */
const load = async (folder: string, forbidden: ReadonlyArray<string>, names: ReadonlyArray<string>): Promise<void> => {
  const script = `process.env.FORBIDDEN = ${JSON.stringify(forbidden.join(" "))}
await import(${JSON.stringify(join(root, "scripts/check-package/watch.mjs"))})
for (const name of ${JSON.stringify(names)}) {
  try { await import(name) }
  catch (error) { console.error(name + ": " + (error instanceof Error ? error.message : error)); process.exitCode = 1 }
}`
  await run(folder, process.execPath, "--input-type=module", "--eval", script)
}

const modulesOf = (folder: string, names: string): ReadonlyArray<string> =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(".ts"))
    .map((name) => `effect-meerkat/${names}/${basename(name, ".ts")}`)

const light = (): ReadonlyArray<string> => [
  ...["", "/command", "/testkit", "/unstable"].map((entry) => `effect-meerkat${entry}`),
  ...modulesOf("src/domain", "domain"),
  ...modulesOf("services", "services"),
  ...modulesOf("layers", "layers").filter((name) => !native.includes(basename(name)))
]

/** Copies the examples and writes the text above beside them; returns the paths of all files. */
const sourcesIn = (folder: string): ReadonlyArray<string> => {
  const names = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".ts"))
  for (const name of names) cpSync(join(root, "examples", name), join(folder, name))
  writeFileSync(join(folder, "application.ts"), application)
  return [...names, "application.ts"].map((name) => join(folder, name))
}

const namesInternals = ({ declarations }: Compiled): ReadonlyArray<string> =>
  declarations
    .filter(({ fileName, text }) => fileName.includes("/internal/") || text.includes("/internal/"))
    .map(({ fileName }) => `a public declaration leads to layers/internal: ${fileName}`)

const showing = (folder: string): void => {
  const phrases = Object.keys(expected)
  const found = hovers(folder, hovered, phrases)
  none(phrases.flatMap((phrase, n) => {
    const { display = "", documentation = "" } = found[n] ?? {}
    return [
      ...(expected[phrase]?.some((name) => display.includes(name)) === true ? [] : [`${phrase} shows ${display}`]),
      ...(documentation === "" ? [`${phrase} has no documentation`] : [])
    ]
  }))
}

/** Runs the README's example on a file, as the application compiled it. */
const example = async (folder: string): Promise<void> => {
  const script = `import * as Effect from "effect/Effect"
import { isDeepStrictEqual } from "node:util"
const { expected, persistent } = await import("./out/NodeNext/hello.js")
const found = await Effect.runPromise(persistent("hello.db"))
if (!isDeepStrictEqual(found, expected)) { console.error(JSON.stringify(found)); process.exitCode = 1 }`
  await run(folder, process.execPath, "--input-type=module", "--eval", script)
}

const program = async (folder: string): Promise<void> => {
  const args = ["run", "--db", "program.db", "--session", "demo", "--exec", "tr a-z A-Z", "hello"]
  const watch = ["--import", join(root, "scripts/check-package/watch.mjs")]
  const main = join(folder, "node_modules/.bin/meerkat")
  process.env["FORBIDDEN"] = never.join(" ")
  const answer = await run(folder, process.execPath, ...watch, main, ...args)
  if (answer.trim() !== "HELLO") throw new Error(`meerkat answers ${answer}`)
}

const checkIn = async (folder: string): Promise<void> => {
  const tarball = await check("the package packs", () => pack(folder))
  if (tarball === null) return
  const [core = [], store = [], cli = []] = installLines()
  const [small, whole] = await Promise.all([
    check("it installs beside effect alone", () => install(join(folder, "small"), tarball, core)),
    check("it installs with all peers", () => install(join(folder, "whole"), tarball, [...core, ...store, ...cli]))
  ])
  const attw = join(root, "node_modules/.bin/attw")
  await Promise.all([
    check("publint finds nothing", () => lint(tarball)),
    check(
      "arethetypeswrong finds nothing",
      () => run(folder, attw, tarball, "--profile", "esm-only", "--no-definitely-typed")
    )
  ])
  if (small !== null) {
    await check("everything but the SQLite store loads with effect alone", () => load(small, [], light()))
  }
  if (whole === null) return
  await check(
    "the SQLite store loads without cluster, rpc and workflow",
    () => load(whole, never, ["effect-meerkat/sqlite", ...native.map((name) => `effect-meerkat/layers/${name}`)])
  )
  const files = sourcesIn(whole)
  for (const resolution of ["NodeNext", "Bundler"] as const) {
    const compiled = await check(`examples and an application have declarations (${resolution})`, () => {
      const made = compile(whole, files, resolution)
      none(made.problems)
      return made
    })
    if (compiled !== null) {
      await check(`no declaration names layers/internal (${resolution})`, () => none(namesInternals(compiled)))
    }
  }
  await check("an editor shows named types with documentation", () => showing(whole))
  await check("the README's example runs on a file", () => example(whole))
  await check("the program runs", () => program(whole))
}

const folder = mkdtempSync(join(tmpdir(), "meerkat-package-"))
try {
  await check("the checks run to the end", () => checkIn(folder))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
const line = `${counts.passed} passed, ${counts.failed} failed`
const summary = process.env["TEST_SUMMARY"]
if (summary === undefined) console.log(line)
else writeFileSync(summary, `${line}\n`)
if (counts.failed > 0) process.exitCode = 1
