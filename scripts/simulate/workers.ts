/** Starts and bundles the child processes that run seeds. */
import { build, type BuildOptions, type Plugin } from "esbuild"
import type { ChildProcessByStdio } from "node:child_process"
import { spawn } from "node:child_process"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"
import type { Readable, Writable } from "node:stream"
import { fileURLToPath } from "node:url"
import type { Answer, Task } from "./protocol.js"

const root = fileURLToPath(new URL("../..", import.meta.url))

export interface Program {
  readonly file: string
  readonly remove: () => void
}

let bundles = 0

/** Bundles the worker into one file, inside the project, where SQLite's native driver is found. */
export const bundle = async (...plugins: ReadonlyArray<Plugin>): Promise<Program> => {
  const outdir = join(root, "node_modules", ".cache", "meerkat-simulate", `${process.pid}-${++bundles}`)
  const file = join(outdir, "worker.mjs")
  await build({ ...options, plugins: [...plugins], outfile: file })
  return { file, remove: () => rmSync(outdir, { recursive: true, force: true }) }
}

/** The build options of every bundle. */
const options: BuildOptions = {
  entryPoints: [join(root, "scripts/simulate/worker.ts")],
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  external: ["better-sqlite3"],
  logLevel: "error",
  banner: { js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);" }
}

/** True if a seed also fails without the planted bug: then its failure proves nothing about the bug. */
export const breaksUnplanted = async (task: Task, seed: number): Promise<boolean> => {
  const program = await bundle()
  const worker = new Worker(program)
  try {
    return (await worker.run({ ...task, from: seed, seeds: 1 })).failed.length > 0
  } finally {
    worker.end()
    program.remove()
  }
}

/** One child process; it runs one task at a time. */
export class Worker {
  private readonly child: ChildProcessByStdio<Writable, Readable, null>
  private readonly waiting: Array<(line: string) => void> = []
  private readonly failed: Promise<never>

  constructor(program: Program) {
    const child = spawn(process.execPath, ["--max-semi-space-size=32", program.file], {
      stdio: ["pipe", "pipe", "inherit"]
    })
    this.child = child
    createInterface({ input: this.child.stdout }).on("line", (line) => this.waiting.shift()?.(line))
    this.failed = new Promise((_, reject) =>
      child.on("exit", (code, signal) => reject(new Error(`a worker ended: ${code ?? signal}`)))
    )
    this.failed.catch(() => {})
  }
  run(task: Task): Promise<Answer> {
    const answer = new Promise<Answer>((resolve) => this.waiting.push((line) => resolve(JSON.parse(line))))
    this.child.stdin.write(`${JSON.stringify(task)}\n`)
    return Promise.race([answer, this.failed])
  }
  end(): void {
    this.child.stdin.end()
  }
}
