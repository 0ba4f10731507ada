/**
 * The transitions of a session entry: pure functions from a state to an answer and the next state.
 *
 * Nothing else writes an `EntryState` or an `AttachmentPhase`; callers pass a transition to `Ref.modify` or `unsafeModify`.
 * A transition that does not apply answers so and returns the same state, so that a late caller changes nothing.
 *
 * Presence: `Open → Closing → Removed`, and `Closing → CloseFailed → Closing` when the closing commit fails.
 * Slot: `Free → Claimed(attach) → Attached → Free | Claimed(detach) → Free`.
 *
 * Invariants (test/layers/transitions.test.ts walks every reachable state):
 * - Only an open entry gives its slot away; a claim that began before the close may still be installed while it closes.
 * - A claim is released only by its own holder, a loop is detached only under its own attachment.
 * - A failed or removed entry has no attachment in its slot.
 * - The first teardown decides the result; later ones get the same.
 *
 * @since 0.1.0
 */
import type * as Deferred from "effect/Deferred"
import type { RunControl } from "../../services/RuntimeLoop.js"
import type { InterruptHandle } from "../../services/SessionRuns.js"
import type { Attachment, AttachmentPhase, Closed, EndedTurn, EntryState, Guest, LoopSlot } from "./entryState.js"

/** What `Ref.modify` takes. */
export type Transition<S, A> = (state: S) => readonly [A, S]

// initial values are shared: a session in which nothing happened holds none of its own

const free: LoopSlot = { _tag: "Free" }

/** An entry that was just registered. */
export const initial: EntryState = {
  presence: { _tag: "Open", shared: false },
  slot: free,
  tokens: 0,
  guest: null,
  endedTurn: null,
  interruptHandle: null
}

/** An attachment whose loop has not begun. */
export const launched: AttachmentPhase = { ending: "none", control: null, stopped: null, cleaned: null }

// --- queries ---

/** The attached loop; null while the slot is free or claimed. */
export const attachmentOf = ({ slot }: EntryState): Attachment | null =>
  slot._tag === "Attached" ? slot.attachment : null

/** The loop that a teardown has to end: the attached one, or the one that a failed close left. */
export const remainingOf = (state: EntryState): Attachment | null => {
  const { presence } = state
  return attachmentOf(state) ?? (presence._tag === "Closing" || presence._tag === "CloseFailed" ? presence.left : null)
}

/** Whether a teardown is in progress or complete. */
export const isClosing = ({ presence }: EntryState): boolean =>
  presence._tag === "Closing" || presence._tag === "Removed"

/** Whether a change of an operation would come after the closing commit. */
export const isSealed = ({ presence }: EntryState): boolean =>
  presence._tag === "Removed" || (presence._tag === "Closing" && presence.sealed)

export const isRemoved = ({ presence }: EntryState): boolean => presence._tag === "Removed"

/** Whether a second call holds the entry; a closing entry keeps the answer that it had while it was open. */
export const isShared = ({ presence }: EntryState): boolean => presence._tag !== "Removed" && presence.shared

const isAttached = ({ slot }: EntryState, attachment: Attachment): boolean =>
  slot._tag === "Attached" && slot.attachment === attachment

// --- presence ---

/** A second call acquired the entry. Answers false when the entry is not open. */
export const share: Transition<EntryState, boolean> = (state) => {
  const { presence } = state
  if (presence._tag !== "Open") return [false, state]
  return [true, presence.shared ? state : { ...state, presence: { _tag: "Open", shared: true } }]
}

/** Begins a teardown. Answers its result: that of the earlier teardown when there is one. */
export const beginClose = (done: Closed): Transition<EntryState, Closed> => (state) => {
  const { presence } = state
  switch (presence._tag) {
    case "Closing":
    case "Removed":
      return [presence.done, state]
    case "Open":
    case "CloseFailed": {
      const left = presence._tag === "Open" ? null : presence.left
      return [done, { ...state, presence: { _tag: "Closing", done, sealed: false, left, shared: presence.shared } }]
    }
  }
}

/** The closing commit is about to be submitted. */
export const seal: Transition<EntryState, boolean> = (state) =>
  state.presence._tag === "Closing"
    ? [true, { ...state, presence: { ...state.presence, sealed: true } }]
    : [false, state]

/** The teardown failed. The entry stays without a loop; the next teardown repeats from here. */
export const failClose: Transition<EntryState, boolean> = (state) => {
  const { presence, slot } = state
  if (presence._tag !== "Closing") return [false, state]
  const left = presence.left ?? attachmentOf(state)
  return [true, {
    ...state,
    presence: { _tag: "CloseFailed", left, shared: presence.shared },
    slot: slot._tag === "Attached" ? free : slot
  }]
}

/** The teardown is complete. A claim that was left behind stays until its holder releases it. */
export const remove: Transition<EntryState, boolean> = (state) => {
  const { presence, slot } = state
  if (presence._tag !== "Closing") return [false, state]
  return [true, {
    ...state,
    presence: { _tag: "Removed", done: presence.done },
    slot: slot._tag === "Attached" ? free : slot
  }]
}

// --- slot ---

/** What a call that wants to attach an executor finds. */
export type Claiming =
  | { readonly _tag: "Claimed"; readonly token: number }
  | { readonly _tag: "Busy"; readonly done: Deferred.Deferred<void> }
  | { readonly _tag: "Attached" }
  | { readonly _tag: "NotOpen" }

/** Claims the slot for an executor that is about to be made. */
export const claim = (done: Deferred.Deferred<void>): Transition<EntryState, Claiming> => (state) => {
  const { presence, slot } = state
  if (presence._tag !== "Open") return [{ _tag: "NotOpen" }, state]
  switch (slot._tag) {
    case "Claimed":
      return [{ _tag: "Busy", done: slot.done }, state]
    case "Attached":
      return [{ _tag: "Attached" }, state]
    case "Free": {
      const token = state.tokens + 1
      return [{ _tag: "Claimed", token }, {
        ...state,
        tokens: token,
        slot: { _tag: "Claimed", token, by: "attach", done }
      }]
    }
  }
}

/** The claimed slot gets its loop. From here on the executor's own interrupt handle counts. */
export const install = (attachment: Attachment): Transition<EntryState, boolean> => (state) => {
  const { presence, slot } = state
  const lives = presence._tag === "Open" || presence._tag === "Closing"
  return lives && slot._tag === "Claimed" && slot.by === "attach" && slot.token === attachment.token
    ? [true, { ...state, slot: { _tag: "Attached", attachment }, interruptHandle: null }]
    : [false, state]
}

/** Releases a claim; a claim that became an attachment is released already. */
export const releaseClaim = (done: Deferred.Deferred<void>): Transition<EntryState, boolean> => (state) =>
  state.slot._tag === "Claimed" && state.slot.done === done ? [true, { ...state, slot: free }] : [false, state]

/** A loop with nothing left to drain leaves its slot. */
export const giveBack = (attachment: Attachment): Transition<EntryState, boolean> => (state) =>
  state.presence._tag === "Open" && isAttached(state, attachment) ? [true, { ...state, slot: free }] : [false, state]

/** A loop ended by itself: the slot stays claimed until that is committed. */
export const loseLoop =
  (attachment: Attachment, done: Deferred.Deferred<void>): Transition<EntryState, boolean> => (state) =>
    state.presence._tag === "Open" && isAttached(state, attachment)
      ? [true, { ...state, slot: { _tag: "Claimed", token: attachment.token, by: "detach", done } }]
      : [false, state]

/** The end of an attachment is complete. */
export const detach = (attachment: Attachment): Transition<EntryState, boolean> => (state) =>
  isAttached(state, attachment) ? [true, { ...state, slot: free }] : [false, state]

// --- runs of callers ---

export const enterGuest = (guest: Guest): Transition<EntryState, void> => (state) => [undefined, { ...state, guest }]

export const leaveGuest = (guest: Guest): Transition<EntryState, boolean> => (state) =>
  state.guest === guest ? [true, { ...state, guest: null }] : [false, state]

export const endTurn = (endedTurn: EndedTurn): Transition<EntryState, void> => (state) => [
  undefined,
  { ...state, endedTurn }
]

/** Installs the handle that interrupts runs while no executor is attached. Answers false when one is. */
export const installHandle = (interruptHandle: InterruptHandle): Transition<EntryState, boolean> => (state) =>
  state.slot._tag === "Attached" ? [false, state] : [true, { ...state, interruptHandle }]

// --- the phase of an attachment ---

/** A stop or destroy takes the loop over: no further batch begins. A destroy also takes over from a stop. */
export const takeOver = (by: "stop" | "destroy"): Transition<AttachmentPhase, boolean> => (phase) =>
  phase.ending === "none" || (phase.ending === "stop" && by === "destroy")
    ? [true, { ...phase, ending: by }]
    : [false, phase]

/** A stop failed and gives the loop back to its session. A destroy keeps it. */
export const resumeLoop: Transition<AttachmentPhase, boolean> = (phase) =>
  phase.ending === "stop" ? [true, { ...phase, ending: "none" }] : [false, phase]

/** The loop drained the session and ends by itself. */
export const markGivenBack: Transition<AttachmentPhase, boolean> = (phase) =>
  phase.ending === "none" ? [true, { ...phase, ending: "givenBack" }] : [false, phase]

export const setControl = (control: RunControl): Transition<AttachmentPhase, void> => (phase) => [
  undefined,
  { ...phase, control }
]

/** Begins the call of a hook. Answers the earlier call when there is one: a hook is called at most once. */
export const beginHook = (
  which: "stopped" | "cleaned",
  done: Deferred.Deferred<void>
): Transition<AttachmentPhase, Deferred.Deferred<void> | null> =>
(phase) => {
  const earlier = phase[which]
  if (earlier !== null) return [earlier, phase]
  return [null, which === "stopped" ? { ...phase, stopped: done } : { ...phase, cleaned: done }]
}
