/** Operations, session states and commands with predictable ids, for tests of the kernel. */
import * as Either from "effect/Either"
import type { Command, Decision, Emit } from "../../src/domain/Command.js"
import type { OperationError } from "../../src/domain/Errors.js"
import { EpochId, InputId, OperationId, runtimeIdOf, SessionId, WaitRequestId } from "../../src/domain/Ids.js"
import type { OperationResult, OperationSpec } from "../../src/domain/Operation.js"
import { attached } from "../../src/domain/RuntimeState.js"
import type { Env, KernelLimits, SessionState } from "../../src/domain/SessionState.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import * as Ops from "../../src/kernel/operations.js"
import { emptyOperations, mintEpoch } from "../../src/kernel/operationsOpening.js"
import { clean } from "../../src/kernel/softFacts.js"

const uuid = (kind: string, n: number) => `${kind.padEnd(8, "0")}-0000-7000-8000-${String(n).padStart(12, "0")}`

export const opId = (n: number) => OperationId.make(uuid("a", n))
export const waitId = (n: number) => WaitRequestId.make(uuid("b", n))
export const inputId = (n: number) => InputId.make(uuid("c", n))
export const epochId = EpochId.make(uuid("e", 1))
export const sessionId = SessionId.make("demo")

export const limits: KernelLimits = {
  maxAttempts: 3,
  crashBudget: 3,
  keyRetentionMs: null,
  keyRetentionCount: null,
  maxCompletedOperations: 256,
  maxConcurrentOperations: null,
  feedRetention: 1024
}

export const env = (now = 1_000, some: Partial<KernelLimits> = {}): Env => ({
  now,
  continuationId: inputId(now),
  limits: { ...limits, ...some }
})

/** An attached session without inputs and operations. */
export const session: SessionState = {
  sessionId,
  runtimeId: runtimeIdOf(sessionId),
  lifecycle: attached,
  registration: { _tag: "Active", token: 1, drainOnly: false },
  ledger: Ledger.empty(),
  silentIntents: [],
  binding: null,
  operations: emptyOperations(mintEpoch(epochId)),
  head: { generation: 0, messageCount: 0, digest: null },
  tools: null,
  slices: {},
  dirty: clean
}

export const spec = (n: number, some: Partial<OperationSpec> = {}): OperationSpec => ({
  id: opId(n),
  kind: "background_tool_op",
  owner: "process",
  displayName: `op ${n}`,
  sourceLabel: "test",
  expectPeerChannel: false,
  ...some
})

export const result = (content = "done"): OperationResult => ({
  content,
  isError: false,
  durationMs: 1,
  tokensUsed: 0
})

export const decide = <A>(state: SessionState, command: Command<A>, at: Env = env()): Decision<A> =>
  Either.getOrThrowWith(command.decide(state, at), (rejection) => new Error(JSON.stringify(rejection)))

/** The state after some commands. Throws when one is refused, since that is a mistake of the test. */
export const after = (
  state: SessionState,
  commands: ReadonlyArray<Command<Either.Either<unknown, OperationError>>>,
  at: Env = env()
): SessionState =>
  commands.reduce((current, command) => {
    const decision = decide(current, command, at)
    Either.getOrThrowWith(decision.reply, (error) => new Error(`${command.name}: ${error._tag}`))
    return decision.state
  }, state)

export const started = (n: number, some: Partial<OperationSpec> = {}) => [
  Ops.registerOperation(spec(n, some)),
  Ops.provisioningSucceeded(opId(n))
]

export const finished = (n: number, some: Partial<OperationSpec> = {}) => [
  ...started(n, some),
  Ops.completeOperation(opId(n), result())
]

export const ofTag = <T extends Emit["_tag"]>(emits: ReadonlyArray<Emit>, tag: T) =>
  emits.filter((emit): emit is Extract<Emit, { _tag: T }> => emit._tag === tag)
