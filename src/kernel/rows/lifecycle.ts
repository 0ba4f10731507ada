/**
 * The lifecycle rows: when a session accepts commands, and how it is attached, retired, reset, stopped and destroyed.
 *
 * @since 0.1.0
 */
import type { Emit } from "../../domain/Command.js"
import type { Lifecycle, PersistedRuntimeState } from "../../domain/RuntimeState.js"
import { destroyed, idle, retired, stopped } from "../../domain/RuntimeState.js"
import type { SessionState } from "../../domain/SessionState.js"
import type { SessionToolVisibilityState, ToolCatalogs } from "../../domain/ToolVisibility.js"
import { hasQueued, resting, withLifecycle } from "../facts.js"
import type { Table } from "../row.js"
import { lifecycleRow } from "../row.js"
import { isRetired } from "../selection.js"
import { visibilityOf, visibilitySlice, withVisibility } from "../toolVisibility.js"

/** The triggers of this slice and their payloads. @since 0.1.0 @category models */
export interface LifecycleTriggers {
  /** an input is to be accepted */
  readonly Admit: object
  /** a queued input is cancelled or moved */
  readonly EditQueue: object
  readonly SetSilentIntents: { readonly intents: ReadonlyArray<string> }
  readonly ClaimLoop: object
  readonly AttachLoop: object
  readonly DetachLoop: object
  readonly Retire: object
  readonly Reset: object
  readonly Recycle: object
  readonly Recover: object
  readonly Stop: object
  readonly Destroy: object
  readonly Bind: { readonly fence: number }
  /** the session's model is to be changed */
  readonly Reconfigure: object
  /** another tool visibility; null only asks whether it may change */
  readonly EditTools: { readonly visibility: SessionToolVisibilityState | null }
  /** the tools that the process knows */
  readonly KnowTools: { readonly catalogs: ToolCatalogs }
}

/** Name of the slice document that holds the silent intents. @since 0.1.0 @category constructors */
export const silentIntentsSlice = "silentIntents"

/** The lifecycle rows. @since 0.1.0 @category rows */
export const lifecycleRows: Table<LifecycleTriggers> = {
  Admit: [
    lifecycleRow("admit", { from: ["Idle", "Attached"] }),
    lifecycleRow("admitBusy", { from: ["Running"], guards: { not_retiring: (state) => !isRetired(state) } })
  ],
  EditQueue: [lifecycleRow("editQueue", { from: ["Idle", "Attached", "Running", "Retired", "Stopped"] })],
  SetSilentIntents: [
    lifecycleRow("silence", {
      from: ["Idle", "Attached", "Running", "Retired"],
      update: (state, { intents }) => ({ ...state, silentIntents: intents }),
      emit: (next, _, previous) => sameIntents(next, previous) ? [] : [silentIntents(next)]
    }),
    lifecycleRow("silenceIgnored", { from: ["Stopped"] })
  ],
  ClaimLoop: [
    lifecycleRow("claim", { from: ["Idle"] }),
    lifecycleRow("claimBusy", {
      from: ["Running"],
      guards: { has_work: (state) => !isRetired(state) || hasQueued(state) }
    }),
    lifecycleRow("claimDrain", { from: ["Retired"], guards: { has_work: (state) => hasQueued(state) } })
  ],
  AttachLoop: [
    lifecycleRow("attach", {
      from: ["Idle"],
      to: ["Attached"],
      update: (state) => withLifecycle(state, { _tag: "Attached" })
    }),
    lifecycleRow("attachBusy", {
      from: ["Running"],
      guards: { has_work: (state) => !isRetired(state) || hasQueued(state) },
      update: (state) => returning(state, "Idle", "Attached")
    }),
    lifecycleRow("attachDrain", { from: ["Retired"], guards: { has_work: (state) => hasQueued(state) } })
  ],
  DetachLoop: [
    lifecycleRow("detach", { from: ["Attached"], to: ["Idle"], update: (state) => withLifecycle(state, idle) }),
    lifecycleRow("detachBusy", { from: ["Running"], update: (state) => returning(state, "Attached", "Idle") }),
    lifecycleRow("detachNone", { from: ["Idle", "Retired", "Stopped", "Destroyed"] })
  ],
  Retire: [
    lifecycleRow("retire", {
      from: ["Idle", "Attached"],
      to: ["Retired"],
      update: (state) => withLifecycle(state, retired),
      emit: () => [lifecycle("retired")]
    }),
    lifecycleRow("retireAgainBusy", { from: ["Running"], guards: { retiring: (state) => isRetired(state) } }),
    lifecycleRow("retireBusy", {
      from: ["Running"],
      update: (state) =>
        state.lifecycle._tag === "Running" ? withLifecycle(state, { ...state.lifecycle, returnTo: "Retired" }) : state,
      emit: () => [lifecycle("retired")]
    }),
    lifecycleRow("retireAgain", { from: ["Retired"] })
  ],
  Reset: [
    lifecycleRow("reset", {
      from: ["Idle", "Attached"],
      update: (state) => forgetful(state),
      emit: (_, __, previous) => hushed(previous)
    }),
    lifecycleRow("resetRetired", {
      from: ["Retired"],
      to: ["Idle", "Attached"],
      update: (state) => withLifecycle(forgetful(state), resting(state)),
      emit: (_, __, previous) => [lifecycle("idle"), ...hushed(previous)]
    })
  ],
  Recycle: [
    lifecycleRow("recycle", { from: ["Idle", "Attached"], update: (state) => ({ ...state, binding: null }) }),
    lifecycleRow("recycleRetired", {
      from: ["Retired"],
      to: ["Idle", "Attached"],
      update: (state) => withLifecycle({ ...state, binding: null }, resting(state)),
      emit: () => [lifecycle("idle")]
    })
  ],
  Recover: [lifecycleRow("recover", { from: ["Idle", "Attached", "Retired", "Stopped"] })],
  Stop: [
    lifecycleRow("stop", {
      from: ["Idle", "Attached"],
      to: ["Stopped"],
      update: (state) => withLifecycle({ ...state, silentIntents: [] }, stopped),
      emit: (_, __, previous) => [lifecycle("stopped"), ...hushed(previous)]
    }),
    // A retired session stays retired: a stopped session revives at its next registration, which would undo it (D24).
    lifecycleRow("stopRetired", {
      from: ["Retired"],
      update: (state) => ({ ...state, silentIntents: [] }),
      emit: (_, __, previous) => hushed(previous)
    })
  ],
  Destroy: [
    lifecycleRow("destroy", {
      from: ["Idle", "Attached", "Running", "Retired", "Stopped"],
      to: ["Destroyed"],
      update: (state) => withLifecycle(forgetful(state), destroyed),
      emit: (_, __, previous) => [lifecycle("destroyed"), ...hushed(previous)]
    })
  ],
  Bind: [
    lifecycleRow("bindAgain", {
      from: ["Idle", "Attached", "Running", "Retired", "Stopped"],
      guards: { bound: (state) => state.binding !== null }
    }),
    lifecycleRow("bind", {
      from: ["Idle", "Attached", "Running", "Retired", "Stopped"],
      update: (state, { fence }) => ({ ...state, binding: { fence } })
    })
  ],
  Reconfigure: [
    lifecycleRow("reconfigure", {
      from: ["Idle", "Attached", "Running"],
      guards: { bound: (state) => state.binding !== null, not_retiring: (state) => !isRetired(state) }
    })
  ],
  EditTools: [
    lifecycleRow("editTools", {
      from: ["Idle", "Attached", "Running", "Retired", "Stopped"],
      update: (state, { visibility }) => visibility === null ? state : withVisibility(state, visibility),
      emit: (next, _, previous) => next.tools === previous.tools ? [] : [toolVisibility(next)]
    })
  ],
  KnowTools: [
    lifecycleRow("knowTools", {
      from: ["Idle", "Attached", "Running", "Retired", "Stopped"],
      update: (state, { catalogs }) => ({
        ...state,
        tools: { visibility: visibilityOf(state), catalogs, unsaved: state.tools?.unsaved ?? false }
      })
    })
  ]
}

// --- internal ---

const lifecycle = (state: PersistedRuntimeState): Emit => ({ _tag: "PutLifecycle", state })

const silentIntents = (state: SessionState): Emit => ({
  _tag: "PutSlice",
  slice: { name: silentIntentsSlice, value: state.silentIntents }
})

/** Makes the put of the session's tool visibility. @since 0.1.0 @category constructors */
export const toolVisibility = (state: SessionState): Emit => ({
  _tag: "PutSlice",
  slice: { name: visibilitySlice, value: visibilityOf(state) }
})

/** Emits a put only if silent intents existed: most sessions have none. */
const hushed = (previous: SessionState): ReadonlyArray<Emit> =>
  previous.silentIntents.length === 0 ? [] : [silentIntents({ ...previous, silentIntents: [] })]

const forgetful = (state: SessionState): SessionState => ({ ...state, silentIntents: [], binding: null })

const sameIntents = (a: SessionState, b: SessionState): boolean =>
  a.silentIntents.length === b.silentIntents.length &&
  a.silentIntents.every((intent, index) => intent === b.silentIntents[index])

/** Corrects the return phase of a run that began before the loop was attached, or that outlives the loop. */
const returning = (state: SessionState, from: "Idle" | "Attached", to: "Idle" | "Attached"): SessionState => {
  const run: Lifecycle = state.lifecycle
  return run._tag === "Running" && run.returnTo === from ? withLifecycle(state, { ...run, returnTo: to }) : state
}
