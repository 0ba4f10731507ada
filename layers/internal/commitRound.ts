/** @since 0.1.0 */
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

/** A queued command; the type of its reply is closed over, so that the queue can hold all of them. */
export interface Pending {
  readonly name: string
  readonly decide: (state: SessionState, env: Env) => Either.Either<Step, Rejection>
  readonly fail: (error: SubmitError) => void
  readonly onReload: (reason: string) => ReadonlyArray<readonly [InputId, CompletionOutcome]>
  /** alone in a round, it hears `CommitRefused` as its own answer */
  readonly mayBeRefused: boolean
}

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

/** How a member of a round came out of the fold. */
export type Folded =
  | { readonly _tag: "Step"; readonly pending: Pending; readonly step: Step }
  | { readonly _tag: "Rejected"; readonly pending: Pending; readonly rejection: Rejection }

/** A folded round: what to write, what to publish, whom to tell. */
export interface Round {
  readonly state: SessionState
  readonly emits: ReadonlyArray<Emit>
  readonly members: ReadonlyArray<Folded>
  /** what the end of the fold added */
  readonly closing: ReadonlyArray<Emit>
  /** members that wait for the next round: a commit holds one receipt, one change of the body and one of an input */
  readonly rest: ReadonlyArray<Pending>
}

/** Step 2 of a command's way (docs/explanation/architecture.md): pure, in arrival order; a rejected command changes nothing. */
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
