/**
 * Runs the program as a process, for the tests of the CLI. Each test process bundles it once from its sources, so that it
 * is never an old build. The bundle brings its compiled code along: a start costs a quarter of the unbundled program.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { buildSync } from "esbuild"
import { Buffer } from "node:buffer"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))

/** Runs the bundle with the code that V8 compiled the first time; that first run, named by WRITE_CODE, writes it. */
const starter = `
const { readFileSync, writeFileSync } = require("node:fs")
const { Script } = require("node:vm")
const file = __dirname + "/program.cjs"
const code = __dirname + "/program.code"
const isFirst = process.env.WRITE_CODE === code
const cachedData = isFirst ? undefined : readFileSync(code)
const text = "(function (exports, require, module) {" + readFileSync(file, "utf8").replace(/^#!.*/, "") + "\\n})"
const script = new Script(text, { filename: file, cachedData })
if (isFirst) process.once("exit", () => writeFileSync(code, script.createCachedData()))
script.runInThisContext()({}, require, module)
`

/** Bundles the program into a folder of the project, where the native driver is found. */
const build = (): string => {
  const outdir = path.join(root, "node_modules", ".cache", "meerkat-cli", String(process.pid))
  buildSync({
    entryPoints: [path.join(root, "src/cli/main.ts")],
    outfile: path.join(outdir, "program.cjs"),
    bundle: true,
    format: "cjs",
    platform: "node",
    target: "node20",
    external: ["better-sqlite3"]
  })
  process.once("exit", () => fs.rmSync(outdir, { recursive: true, force: true }))
  const main = path.join(outdir, "main.cjs")
  fs.writeFileSync(main, starter)
  const first = ["run", "--db", path.join(outdir, "first.db"), "--session", "first", "--exec", "cat", "hello"]
  const env = { PATH: process.env["PATH"] ?? "", WRITE_CODE: path.join(outdir, "program.code") }
  const { status, stderr } = spawnSync(process.execPath, [main, ...first], { env, encoding: "utf8" })
  if (status !== 0) throw new Error(`the bundled program does not run: ${stderr}`)
  return main
}

const main = build()

/** The program that `npx meerkat` starts. */
export const builtMain = path.join(root, "dist/src/cli/main.js")

export interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

export interface Options {
  readonly stdin?: string
  readonly env?: Record<string, string>
  /** runs the result of `npm run build` instead of the bundled sources */
  readonly built?: boolean
  /** the user and group id of the process */
  readonly uid?: number
}

export interface Running {
  readonly pid: number
  readonly kill: (signal: "SIGKILL" | "SIGINT" | "SIGTERM" | "SIGHUP") => Effect.Effect<void>
  readonly ended: Effect.Effect<Ended>
}

/** A temporary folder, removed when the scope closes, and the program that runs in it. */
export interface Cli {
  readonly folder: string
  readonly run: (args: ReadonlyArray<string>, options?: Options) => Effect.Effect<Ended>
  /** starts the program, and kills it when the scope closes */
  readonly start: (args: ReadonlyArray<string>, options?: Options) => Effect.Effect<Running, never, Scope.Scope>
  /** runs a shell script in which `meerkat` is the program: for redirections and pipes */
  readonly shell: (script: string) => Effect.Effect<Ended>
  readonly path: (name: string) => string
  readonly write: (name: string, text: string | Uint8Array) => void
  readonly read: (name: string) => string
  readonly lines: (name: string) => ReadonlyArray<string>
  /** every file of the folder, with its bytes in base64 */
  readonly bytes: () => Record<string, string>
}

const collect = (child: ChildProcess): Promise<Ended> => {
  const out: Array<Buffer> = []
  const err: Array<Buffer> = []
  child.stdout?.on("data", (chunk: Buffer) => out.push(chunk))
  child.stderr?.on("data", (chunk: Buffer) => err.push(chunk))
  return new Promise((resolve) =>
    child.on("close", (code, signal) =>
      resolve({
        code,
        signal,
        stdout: Buffer.concat(out).toString("utf8"),
        stderr: Buffer.concat(err).toString("utf8")
      }))
  )
}

const launch = (
  folder: string,
  args: ReadonlyArray<string>,
  options: Options
) => spawned(folder, [process.execPath, options.built === true ? builtMain : main, ...args], options)

const script = (text: string): ReadonlyArray<string> => [
  "/bin/sh",
  "-c",
  `meerkat() { "${process.execPath}" "${main}" "$@"; }\n${text}`
]

const spawned = (
  folder: string,
  [command = "", ...args]: ReadonlyArray<string>,
  options: Options
): Running & { readonly child: ChildProcess } => {
  const { MEERKAT_DB: _, ...env } = process.env
  const child = spawn(command, args, {
    cwd: folder,
    env: { ...env, NODE_OPTIONS: "", ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid })
  })
  child.stdin?.on("error", () => {})
  child.stdin?.end(options.stdin ?? "")
  const ended = collect(child)
  return {
    child,
    pid: child.pid ?? 0,
    kill: (signal) => Effect.sync(() => void child.kill(signal)),
    ended: Effect.promise(() => ended)
  }
}

export const make: Effect.Effect<Cli, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => fs.realpathSync(fs.mkdtempSync(path.join(tmpdir(), "meerkat-cli-")))),
    (folder) =>
      Effect.sync(() => {
        fs.chmodSync(folder, 0o700)
        fs.rmSync(folder, { recursive: true, force: true })
      })
  ),
  (folder): Cli => {
    const at = (name: string) => path.join(folder, name)
    const read = (name: string) => fs.existsSync(at(name)) ? fs.readFileSync(at(name), "utf8") : ""
    return {
      folder,
      path: at,
      read,
      lines: (name) => read(name).split("\n").filter((line) => line !== ""),
      write: (name, text) => fs.writeFileSync(at(name), text),
      bytes: () =>
        Object.fromEntries(fs.readdirSync(folder).sort().map((name) => [name, fs.readFileSync(at(name), "base64")])),
      run: (args, options = {}) => Effect.suspend(() => launch(folder, args, options).ended),
      shell: (text) => Effect.suspend(() => spawned(folder, script(text), {}).ended),
      start: (args, options = {}) =>
        Effect.acquireRelease(
          Effect.sync(() => launch(folder, args, options)),
          ({ child, ended }) => Effect.zipRight(Effect.sync(() => void child.kill("SIGKILL")), ended)
        )
    }
  }
)

/** The documents that `--json` printed, one per line. */
export const documents = ({ stdout }: Ended) => stdout.trim().split("\n").map((row) => JSON.parse(row))

/**
 * Waits at most thirty seconds for a fact, since a program starts slowly on a busy machine. Dies when they are over.
 */
export const until = (fact: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => fact() ? Effect.void : Effect.zipRight(Effect.sleep("20 millis"), until(fact))).pipe(
    Effect.timeoutFail({
      duration: "30 seconds",
      onTimeout: () => new Error("the awaited fact was not true within 30 seconds")
    }),
    Effect.orDie
  )

/** Waits until an attempt at an input of the session is stored. From then on a crash counts. */
export const untilStaged = (cli: Cli, session: string): Effect.Effect<void> =>
  Effect.flatMap(
    cli.run(["inputs", session, "--json"]),
    ({ stdout }) => stdout.includes("\"phase\":\"staged\"") ? Effect.void : untilStaged(cli, session)
  )

export const isAlive = (pid: number): boolean => {
  const stat = fs.existsSync(`/proc/${pid}/stat`) ? fs.readFileSync(`/proc/${pid}/stat`, "latin1") : null
  if (stat !== null) return !/\) [ZX] /.test(stat)
  if (process.platform === "linux") return false
  return spawnSync("kill", ["-0", String(pid)]).status === 0
}

/**
 * A user that file permissions apply to: the current user, or user 65534 when the current user is root. Returns null
 * when that user cannot run the program.
 */
export const plainUser = (): { readonly uid?: number } | null => {
  if (process.getuid?.() !== 0) return {}
  const uid = 65534
  const probe = spawnSync(process.execPath, [main, "--version"], {
    uid,
    gid: uid,
    cwd: tmpdir(),
    env: { PATH: process.env["PATH"] ?? "", NODE_OPTIONS: "" }
  })
  return probe.status === 0 ? { uid } : null
}
