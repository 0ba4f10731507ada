/**
 * Planted bugs that a sweep must find. Each replaces parts of a source file while the bundle of the worker is built; the
 * source files do not change.
 */
import type { Plugin } from "esbuild"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

export interface Patch {
  readonly file: string
  readonly from: string
  readonly to: string
}

const root = fileURLToPath(new URL("../..", import.meta.url))

const commitWorker = "layers/internal/commitWorker.ts"
const write = "    const written = yield* write(deps, commit, members.some(({ mayBeRefused }) => mayBeRefused))\n"
const suspicion = "src/kernel/suspicion.ts"
const rows = "src/kernel/rows/input.ts"
const run = "src/kernel/commands/run.ts"

export const mutants: Readonly<Record<string, ReadonlyArray<Patch>>> = {
  "publish before durable": [
    { file: commitWorker, from: write, to: `    cell.publish(round.state)\n${write}` }
  ],
  "ack before write": [
    {
      file: commitWorker,
      from: write,
      to: `    for (const member of round.members) if (member._tag === "Step") member.step.settle()\n${write}`
    }
  ],
  "unknown outcome taken for a refusal": [
    {
      file: "layers/internal/commitWrite.ts",
      from: "return resolveUnknown(deps, commit.runtimeId, commit, error)",
      to: "return Effect.succeed({ _tag: \"Refused\", error: didNotHappen(error) })"
    }
  ],
  "not now is tried for a while only": [
    {
      file: "layers/internal/insist.ts",
      from: "  if (isNotNow(error.error)) return true\n",
      to: "  if (isNotNow(error.error)) return effort.failures++ < effort.how.config.commitRetryTimes\n"
    },
    {
      file: "layers/internal/insist.ts",
      from: "error._tag !== \"CommitFailed\" || isNotNow(error.error)\n",
      to: "error._tag !== \"CommitFailed\"\n"
    }
  ],
  "a reload in the living process charges a crash": [
    {
      file: "layers/MachineAuthorityLive.ts",
      from: "remembered: memory.get(sessionId)",
      to: "remembered: undefined"
    }
  ],
  "fence not checked": [
    {
      file: "src/kernel/validateCommit.ts",
      from: "  if (commit.incarnation !== expected || (mode === \"commit\" && !head.open)) {",
      to: "  if (mode === \"open\" && commit.incarnation !== expected) {"
    },
    { file: "src/kernel/validateCommit.ts", from: "  if (commit.basis !== head.revision) {", to: "  if (false) {" },
    { file: "layers/internal/sessionAuthority.ts", from: "        closed = true\n", to: "" }
  ],
  "requeue forgotten at unregister": [
    {
      file: "src/kernel/commands/close.ts",
      from: "lifecycle._tag === \"Running\" ? requeued(fold, env, lifecycle.runId) : Either.right(fold)",
      to: "Either.right(fold)"
    }
  ],
  "dedup forgotten": [
    { file: "src/kernel/commands/accept.ts", from: "  if (holder !== undefined) return", to: "  if (false) return" },
    {
      file: "src/kernel/commands/accept.ts",
      from: "  return fact === null || isExpired",
      to: "  return true || isExpired"
    },
    {
      file: "src/kernel/validateCommit.ts",
      from: "      if (owner !== undefined) return new Idem",
      to: "      if (false) return new Idem"
    }
  ],
  "waiter settled at a failed attempt": [
    {
      file: rows,
      from:
        "          notBefore,\n          updatedAt: at\n        })),\n      emit: (next, { inputId }) => requeuedEmits(next, inputId)",
      to:
        "          notBefore,\n          updatedAt: at\n        })),\n      emit: (next, { inputId }) => [...requeuedEmits(next, inputId), { _tag: \"Settle\", inputId, outcome: { _tag: \"Abandoned\", reason: \"failed\" } }]"
    }
  ],
  "crash budget not counted": [
    { file: suspicion, from: "Math.max(crashed, Math.min(crashed + 1, mostCharges(limits)))", to: "crashed" }
  ],
  "a suspect is never given up": [
    { file: suspicion, from: "ranAlone(record) && record.crashed + 1 > mostCharges(limits)", to: "false" }
  ],
  "a suspect is given up without having run alone": [
    { file: suspicion, from: "ranAlone(record) && record.crashed + 1", to: "record.crashed + 1" }
  ],
  "suspects run beside each other": [
    {
      file: "layers/internal/isolation.ts",
      from: "!alone && (wanted === \"shared\" || sharing === 0)",
      to: "wanted !== \"shared\" || !alone || sharing >= 0"
    }
  ],
  "cursor moved before the commit": [
    {
      file: run,
      from:
        "    return answered(Table.thenFire(accounted, \"FailRun\", { runId, detail: failure.detail, willRetry }), () => undefined)",
      to:
        "    return answered(Either.map(Table.thenFire(accounted, \"FailRun\", { runId, detail: failure.detail, willRetry }), (ended) => Table.absorb(ended, setAgentApplied(ended.state, ended.state.operations.epoch.lastSeq))), () => undefined)"
    }
  ],
  "retry time ignored": [
    {
      file: "src/kernel/selection.ts",
      from: "  record.notBefore === undefined || record.notBefore <= now",
      to: "  true || record.notBefore <= now"
    }
  ],
  "steer lane not first": [
    { file: "src/kernel/selection.ts", from: "  if (steer.lead !== undefined) {", to: "  if (false) {" }
  ],
  "waiters forgotten at unregister": [
    {
      file: "layers/internal/teardown.ts",
      from: "    yield* authority.settleAll({ _tag: \"RuntimeTerminated\", reason: unregistered })\n",
      to: ""
    },
    {
      file: "src/kernel/commands/close.ts",
      from: "      { _tag: \"SettleAll\", outcome: { _tag: \"RuntimeTerminated\", reason: unregistered } }\n",
      to: ""
    },
    // otherwise the end of the authority answers the remaining waiters
    {
      file: "layers/internal/sessionAuthority.ts",
      from: "    inputs.close(Exit.succeed(closedOutcome))\n",
      to: ""
    }
  ],
  "attempts not bounded": [
    { file: run, from: "record.charged + 1 < maxAttempts", to: "true" }
  ],
  "wake forgotten": [
    {
      file: "src/kernel/wake.ts",
      from: "  return mayWake(state) ? inject(state, env) : nothing(state)",
      to: "  return nothing(state)"
    }
  ],
  "wake-up missed": [
    {
      file: "layers/internal/sessionAuthority.ts",
      from: "        if (cell.state !== seen) return resume(Effect.void)\n",
      to: ""
    }
  ],
  "what is staged is written late": [
    { file: "src/kernel/Ledger.ts", from: "imageSeq: ledger.nextAdmissionSeq", to: "imageSeq: 0" }
  ]
}

/** Puts a mutant into a bundle. Fails if a source no longer contains the part to replace. */
export const plugin = (patches: ReadonlyArray<Patch>): Plugin => ({
  name: "mutant",
  setup: (build) => {
    build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const mine = patches.filter(({ file }) => path === `${root}${file}`)
      if (mine.length === 0) return undefined
      return { contents: patched(readFileSync(path, "utf8"), mine), loader: "ts" }
    })
  }
})

/** Returns the text with the first occurrence of every part replaced. */
export const patched = (text: string, patches: ReadonlyArray<Patch>): string =>
  patches.reduce((changed, { file, from, to }) => {
    if (!changed.includes(from)) throw new Error(`${file} no longer contains the code that a mutant replaces: ${from}`)
    return changed.replace(from, () => to)
  }, text)
