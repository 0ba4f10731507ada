/** A process that runs each shell command of its arguments, all at once, until it is killed. */
import { Effect } from "effect"
import { run } from "../../layers/internal/commandProcess.js"

const [graceMs = "0", ...commands] = process.argv.slice(2)

const one = (shell: string) =>
  run({
    command: { shell },
    stdin: "",
    env: { PATH: process.env["PATH"] ?? "" },
    graceMs: Number(graceMs),
    maxOutputBytes: 1024,
    stderrTailBytes: 1024
  })

Effect.runFork(Effect.forEach(commands, one, { concurrency: "unbounded" }))
