/**
 * One round of a session's commit worker before the commit: queued commands, and the fold of their decisions.
 *
 * `sessionAuthority` queues, `commitWorker` folds. Invariants: the fold is pure and keeps the order of arrival; a rejected
 * command changes nothing.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { SubmitError } from "../../services/MachineAuthority.js"
import type { Command, Emit, Rejection } from "../../src/domain/Command.js"
import type { CompletionOutcome } from "../../src/domain/Completion.js"
import type { InputId } from "../../src/domain/Ids.js"
import type { Env, SessionState } from "../../src/domain/SessionState.js"
import { bringsBack, endedIn, endsRound } from "../../src/kernel/round.js"
import { endOfFold } from "../../src/kernel/wake.js"

/** What one command did within a fold. */
export interface Step {
  readonly state: SessionState
  readonly emits: ReadonlyArray<Emit>
  /** answers the submitter */
  readonly settle: () => void
}

/** A queued command. Its closures hide the type of the reply, so that one queue can hold all commands. */
export interface Pending {
  readonly name: string
  readonly decide: (state: SessionState, env: Env) => Either.Either<Step, Rejection>
  readonly fail: (error: SubmitError) => void
  readonly onReload: (reason: string) => ReadonlyArray<readonly [InputId, CompletionOutcome]>
  /** if the command is alone in its round, `CommitRefused` is its answer and the session needs no reload */
  readonly mayBeRefused: boolean
}

/** Makes a queued command from a command and the callbacks that answer its caller. */
export const pending = <A>(
  command: Command<A>,
  answer: (reply: A) => void,
  fail: (error: SubmitError) => void,
  { mayBeRefused = false, onReload = () => [] }: Partial<Pick<Pending, "mayBeRefused" | "onReload">>
): Pending => ({
  name: command.name,
  fail,
  onReload,
  mayBeRefused,
  decide: (state, env) =>
    Either.map(command.decide(state, env), (decision): Step => ({
      state: decision.state,
      emits: decision.emits,
      settle: () => answer(decision.reply)
    }))
})

/** The result of the fold for one member of a round. */
export type Folded =
  | { readonly _tag: "Step"; readonly pending: Pending; readonly step: Step }
  | { readonly _tag: "Rejected"; readonly pending: Pending; readonly rejection: Rejection }

/** A folded round: what to commit, what to publish, and which callers to answer. */
export interface Round {
  readonly state: SessionState
  readonly emits: ReadonlyArray<Emit>
  readonly members: ReadonlyArray<Folded>
  /** emits that the end of the fold added */
  readonly closing: ReadonlyArray<Emit>
  /** members for the next round: a commit holds one receipt, one change of the body, and one change of each input */
  readonly rest: ReadonlyArray<Pending>
}

/** Step 2 of a command (docs/explanation/architecture.md): decides the commands in arrival order. */
export const fold = (state: SessionState, round: ReadonlyArray<Pending>, env: Env): Round => {
  let current = state
  const emits: Array<Emit> = []
  const members: Array<Folded> = []
  const ended = new Set<InputId>()
  for (const member of round) {
    const decided = member.decide(current, env)
    if (Either.isLeft(decided)) {
      members.push({ _tag: "Rejected", pending: member, rejection: decided.left })
      continue
    }
    if (bringsBack(ended, decided.right.emits)) break
    current = decided.right.state
    for (const emit of decided.right.emits) emits.push(emit)
    for (const id of endedIn(decided.right.emits)) ended.add(id)
    members.push({ _tag: "Step", pending: member, step: decided.right })
    if (endsRound(decided.right.emits)) break
  }
  const closing = endOfFold(current, env)
  for (const emit of closing.emits) emits.push(emit)
  return { state: closing.state, emits, members, closing: closing.emits, rest: round.slice(members.length) }
}
