/** Builders of states, commands and commits for the tests of the kernel. */
import * as Either from "effect/Either"
import type { Command, Decision, Emit, Rejection, RunFailure, RunOutput } from "../../src/domain/Command.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { InputId } from "../../src/domain/Ids.js"
import * as Ids from "../../src/domain/Ids.js"
import type { Input } from "../../src/domain/Input.js"
import type { InputRecord } from "../../src/domain/InputRecord.js"
import type { RuntimeCommit, RuntimeImage } from "../../src/domain/RuntimeCommit.js"
import type { Clearance } from "../../src/domain/RuntimeState.js"
import type { Env, SessionState } from "../../src/domain/SessionState.js"
import type { AcceptRequest } from "../../src/kernel/commands/accept.js"
import { accept } from "../../src/kernel/commands/accept.js"
import { beginAttach, publishAttachment } from "../../src/kernel/commands/attach.js"
import { commitRun, stage } from "../../src/kernel/commands/run.js"
import * as Ledger from "../../src/kernel/Ledger.js"
import type { OpenedSession } from "../../src/kernel/opening.js"
import { planOpening } from "../../src/kernel/opening.js"
import { foldDirty, toCommit } from "../../src/kernel/round.js"
import { inputId, runId } from "./inputs.js"
import { decide, env } from "./operations.js"

export const sessionId = Ids.SessionId.make("s")
export const requestId = Ids.RequestId.make("00000000-0000-4000-8000-0000000000aa")
export const epochCandidate = Ids.EpochId.make("00000000-0000-4000-8000-0000000000ee")

/** The image that a store returns for an unknown runtime. */
export const noImage: RuntimeImage = {
  runtimeId: Ids.runtimeIdOf(sessionId),
  exists: false,
  incarnation: 1,
  revision: 0,
  lifecycle: "idle",
  inputs: [],
  nextAdmissionSeq: 0,
  head: { generation: 0, messageCount: 0, digest: null },
  epoch: null,
  operations: [],
  feed: [],
  slices: [],
  corrupt: []
}

export const imageWith = (inputs: ReadonlyArray<InputRecord>, parts: Partial<RuntimeImage> = {}): RuntimeImage => ({
  ...noImage,
  exists: true,
  inputs,
  nextAdmissionSeq: Math.max(0, ...inputs.map(({ admissionSeq }) => admissionSeq + 1)),
  ...parts
})

export const plan = (image: RuntimeImage, at: Env = env()) =>
  planOpening({ sessionId, image, requestId, epochCandidate, now: at.now, limits: at.limits })

export const opened = (image: RuntimeImage, at: Env = env()): OpenedSession & { readonly commit: RuntimeCommit } =>
  Either.match(plan(image, at), {
    onLeft: (error) => {
      throw error
    },
    onRight: ({ commit, value }) => ({ ...value, commit })
  })

/** A session that was registered for the first time. */
export const fresh: SessionState = opened(noImage).state

/** Returns the state after the commands; fails if the session refuses a command. */
export const play = (state: SessionState, ...commands: ReadonlyArray<Command<unknown>>): SessionState =>
  commands.reduce((current, command) => decide(current, command).state, state)

export const refused = (state: SessionState, command: Command<unknown>, at: Env = env()): Rejection | null =>
  Either.match(command.decide(state, at), { onLeft: (rejection) => rejection, onRight: () => null })

export const take = (input: Input, request: Partial<AcceptRequest> = {}) =>
  accept({ input, wake: true, keyFact: null, knownTerminal: false, ...request })

export const attaching: ReadonlyArray<Command<unknown>> = [beginAttach(1), publishAttachment(1)]

export const staging = (n = 1, clearance: Clearance = "alone") => stage({ token: 1, runId: runId(n), clearance })

export const done: CompletionOutcome = { _tag: "Completed", result: { text: "ok" } }

export const output = (parts: Partial<RunOutput> = {}): RunOutput => ({
  session: null,
  conversationDigest: null,
  messageCount: 0,
  outcome: done,
  agentApplied: 0,
  ...parts
})

export const committing = (n = 1, parts: Partial<RunOutput> = {}) =>
  commitRun({ runId: runId(n), output: output(parts) })

export const failedOutcome: CompletionOutcome = { _tag: "Abandoned", reason: "apply failed: no" }

export const failure = (parts: Partial<RunFailure> = {}): RunFailure => ({
  outcome: failedOutcome,
  detail: "no",
  retryable: true,
  notBefore: 0,
  ...parts
})

/** Returns the commit that a decision would write, with its deferred writes. */
export const commitOf = ({ emits, state }: Pick<Decision<unknown>, "state" | "emits">): RuntimeCommit => {
  const dirty = foldDirty(state)
  return toCommit({ requestId, incarnation: 1, basis: 1, at: 1_000 }, dirty.state, [...dirty.emits, ...emits])
}

export const recordOf = (state: SessionState, n: number): InputRecord | undefined =>
  Ledger.get(state.ledger, inputId(n))

/** Returns the outcome of each settled input. */
export const settled = (emits: ReadonlyArray<Emit>): ReadonlyArray<readonly [InputId, CompletionOutcome]> =>
  emits.flatMap((emit) => emit._tag === "Settle" ? [[emit.inputId, emit.outcome] as const] : [])

export const terminated = (reason: string): CompletionOutcome => ({ _tag: "RuntimeTerminated", reason })
