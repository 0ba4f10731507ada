/** The visible tools of a session across runs, restarts and changes of the model; and its silent intents. */
import type { SessionState } from "../../../src/domain/SessionState.js"
import type { SessionToolVisibilityState, ToolCatalogs } from "../../../src/domain/ToolVisibility.js"
import { allow, deny, noCatalogs, witnessOf } from "../../../src/domain/ToolVisibility.js"
import { beginAttach, publishAttachment } from "../../../src/kernel/commands/attach.js"
import { beginUnregister, closeSession } from "../../../src/kernel/commands/close.js"
import { destroy, recycle, reset, retire, stop } from "../../../src/kernel/commands/lifecycle.js"
import { setSilentIntents } from "../../../src/kernel/commands/queue.js"
import { cancelRun, commitRun, stage } from "../../../src/kernel/commands/run.js"
import { prepareBindings } from "../../../src/kernel/commands/service.js"
import * as Tools from "../../../src/kernel/commands/tools.js"
import { when } from "../../../src/kernel/invariants/invariant.js"
import * as Ledger from "../../../src/kernel/Ledger.js"
import { derive, imageTool, sameVisibility } from "../../../src/kernel/llmVisibility.js"
import { tokenOf } from "../../../src/kernel/rows/registration.js"
import { boundary, counterOf, visibilityOf } from "../../../src/kernel/toolVisibility.js"
import { prompt } from "../inputs.js"
import { output, take } from "../kernel.js"
import type { Slice, StatePredicate, StepPredicate } from "./engine.js"
import type { Offer } from "./moves.js"
import type { Deed, Node, NodeMove } from "./node.js"
import {
  budgets,
  commanding,
  crash,
  freshRun,
  numberOf,
  register,
  staleRun,
  staleToken,
  together,
  unregistering
} from "./node.js"
import { ofSessions } from "./product.js"

const as = commanding(budgets)

const known = witnessOf({ kind: "mcp", sourceId: "m" })
const other = witnessOf({ kind: "mcp", sourceId: "other" })
const anonymous = { stableOwnerKey: "x" }

const catalogs: ToolCatalogs = { deferred: { d: known }, filter: { d: known, f: known, [imageTool]: known } }

/** States for publication: a valid successor, and states that are outdated, ahead of themselves or contradictory. */
const given = (state: SessionToolVisibilityState) => {
  const revision = counterOf(state) + 1
  const committed = boundary({ ...state, stagedRevision: revision, activeRevision: revision })
  return {
    next: committed,
    behind: { ...state, activeRevision: state.activeRevision - 1, stagedRevision: state.stagedRevision - 1 },
    ahead: { ...committed, stagedRevision: committed.activeRevision + 1 }
  }
}

const ofFilters = (state: SessionToolVisibilityState) => {
  const { next } = given(state)
  return {
    ...given(state),
    torn: { ...next, activeFilter: deny("f"), stagedFilter: allow("f"), filterWitnesses: { f: known } }
  }
}

const ofDeferred = (state: SessionToolVisibilityState) => {
  const { next } = given(state)
  return {
    ...given(state),
    unproven: { ...next, activeRequestedDeferredNames: ["d"], requestedWitnesses: { d: anonymous } },
    stray: {
      ...next,
      activeRequestedDeferredNames: ["d"],
      stagedRequestedDeferredNames: [],
      requestedWitnesses: { d: known }
    }
  }
}

const handing = (name: string, state: SessionToolVisibilityState): ReadonlyArray<NodeMove> => [
  as(`publish ${name}`, Tools.publishCommittedVisibleSet(state)),
  ...(name === "stray" ? [] : [as(`adopt ${name}`, Tools.adoptVisibility(state))]),
  ...(name === "next" || name === "behind" || name === "unproven"
    ? [as(`replace ${name}`, Tools.replaceVisibility(state))]
    : [])
]

const filtering: ReadonlyArray<NodeMove> = [
  as("know", Tools.replaceCatalogs(catalogs)),
  as("forget", Tools.replaceCatalogs(noCatalogs)),
  as("stage deny f", Tools.stageFilter(deny("f"), { f: known })),
  as("stage all", Tools.stageFilter({ _tag: "All" }, {})),
  as("stage without witness", Tools.stageFilter(allow("f"), {})),
  as("stage with another witness", Tools.stageFilter(allow("f"), { f: other })),
  as("applyBoundary", Tools.applyBoundary)
]

const deferring: ReadonlyArray<NodeMove> = [
  as("know", Tools.replaceCatalogs(catalogs)),
  as("forget", Tools.replaceCatalogs(noCatalogs)),
  as("request d", Tools.requestDeferredTools([{ name: "d", witness: known }])),
  as("request nothing", Tools.requestDeferredTools([])),
  as("request without provenance", Tools.requestDeferredTools([{ name: "d", witness: anonymous }])),
  as("request with another witness", Tools.requestDeferredTools([{ name: "d", witness: other }])),
  as("request twice", Tools.requestDeferredTools([{ name: "d", witness: known }, { name: "d", witness: other }])),
  as("stage no names", Tools.stageRequestedDeferredNames([])),
  as("stage bare names", Tools.stageRequestedDeferredNames(["d"])),
  as("applyBoundary", Tools.applyBoundary)
]

/** A change of the model on the current state, and one on an outdated state. */
const models = (state: SessionToolVisibilityState): ReadonlyArray<NodeMove> =>
  [true, false].flatMap((images) => {
    const { next } = derive(state, images, [imageTool])
    const install = (told: SessionToolVisibilityState) =>
      Tools.installModelTools({ imageToolResults: images, baseToolNames: [imageTool], told })
    return [
      as(`model ${images ? "with" : "without"} images`, install(next)),
      as(`model ${images ? "with" : "without"} images, told too early`, install({ ...next, activeRevision: -1 }))
    ]
  })

const attach = together(
  "attach",
  "work",
  as("beginAttach", beginAttach(1), "work"),
  as("publishAttachment", publishAttachment(1), "work")
)

const unregister = together(
  "unregister",
  "teardown",
  as("beginUnregister", beginUnregister, "teardown"),
  unregistering(budgets, closeSession)
)

const around = [as("destroy", destroy), unregister, crash]

/** One input at a time: the run of a crashed process begins again before another input is accepted. */
const runs = (node: Node, live: SessionState): ReadonlyArray<NodeMove> => {
  const runId = live.lifecycle._tag === "Running" ? live.lifecycle.runId : staleRun
  const begin = as(
    "stage",
    stage({ token: tokenOf(live) ?? staleToken, runId: freshRun(node), clearance: "alone" }),
    "work"
  )
  return [
    ...(live.lifecycle._tag !== "Attached"
      ? []
      : Ledger.size(live.ledger) > 0
      ? [begin]
      : [together("run", "client", as("accept", take(prompt(numberOf(node.serial)))), begin)]),
    as("commitRun", commitRun({ runId, output: output() }), "work"),
    as("cancelRun", cancelRun({ runId, reason: "x" }), "work")
  ]
}

const cold = [together("register and attach", "work", register(budgets), attach), register(budgets)]

type Given = (state: SessionToolVisibilityState) => Readonly<Record<string, SessionToolVisibilityState>>

const offering = (
  staging: ReadonlyArray<NodeMove>,
  given: Given,
  more: (state: SessionToolVisibilityState) => ReadonlyArray<NodeMove>
): Offer =>
(node) => {
  if (node.live === null) return cold
  const visibility = visibilityOf(node.live)
  return [
    ...staging,
    ...Object.entries(given(visibility)).flatMap(([name, state]) => handing(name, state)),
    ...more(visibility),
    ...runs(node, node.live),
    ...around
  ]
}

const visibilities = (before: Node, after: Node): readonly [SessionToolVisibilityState, SessionToolVisibilityState] => [
  visibilityOf(before.live ?? { tools: null }),
  visibilityOf(after.live ?? { tools: null })
]

const steps: ReadonlyArray<StepPredicate<Node, Deed>> = [
  {
    id: "P21'",
    says: "every published set is committed: active at or beyond staged, and the same set if the revisions are equal",
    check: (before, { command }, after) => {
      const [was, is] = visibilities(before, after)
      if (command !== "publishCommittedVisibleSet" || was === is) return []
      return [
        ...when(is.activeRevision < is.stagedRevision, "staged is ahead"),
        ...when(is.activeRevision === is.stagedRevision && !isSettled(is), "one revision names two sets")
      ]
    }
  },
  {
    id: "P23",
    says: "a set becomes active only if it was staged",
    check: (before, _, after) => {
      const [was, is] = visibilities(before, after)
      if (before.live === null || after.live === null) return []
      return is.activeRequestedDeferredNames
        .filter((name) => !was.activeRequestedDeferredNames.includes(name))
        .flatMap((name) => when(!is.stagedRequestedDeferredNames.includes(name), `${name} is active and not staged`))
    }
  },
  {
    id: "VIS-1",
    says: "a different active set has a different revision",
    check: (before, _, after) => {
      const [was, is] = visibilities(before, after)
      if (before.live === null || after.live === null || was.activeRevision !== is.activeRevision) return []
      return when(
        !sameVisibility(activeOf(was), activeOf(is)) && was.capabilityBaseFilter === is.capabilityBaseFilter,
        "the same revision shows another set"
      )
    }
  }
]

/** A predicate: the rule applied twice equals the rule applied once. */
export const settles = (
  id: string,
  says: string,
  rule: (state: SessionToolVisibilityState) => SessionToolVisibilityState
): StatePredicate<Node> => ({
  id,
  says,
  check: ({ live }) => {
    const once = rule(visibilityOf(live ?? { tools: null }))
    return when(!sameVisibility(rule(once), once), "it changed again")
  }
})

const states: ReadonlyArray<StatePredicate<Node>> = [
  settles(
    "VIS-2",
    "a change to the same model changes nothing",
    (state) => derive(state, false, [imageTool]).next
  ),
  settles("VIS-3", "a repeated boundary changes nothing", boundary)
]

const isSettled = (state: SessionToolVisibilityState): boolean => {
  const { activeFilter, activeRequestedDeferredNames, stagedFilter, stagedRequestedDeferredNames } = state
  return sameVisibility(state, {
    ...state,
    activeFilter: stagedFilter,
    activeRequestedDeferredNames: stagedRequestedDeferredNames
  }) || (activeFilter === stagedFilter && activeRequestedDeferredNames === stagedRequestedDeferredNames)
}

const activeOf = (state: SessionToolVisibilityState): SessionToolVisibilityState => ({
  ...state,
  stagedFilter: state.activeFilter,
  stagedRequestedDeferredNames: state.activeRequestedDeferredNames,
  stagedRevision: 0,
  activeRevision: 0,
  requestedWitnesses: {},
  filterWitnesses: {}
})

/** The data that reset, stop and destroy clear, and the data that they keep. */
export const intents = ofSessions(
  "intents",
  "silent intents and the tool catalogs of the process × lifecycle × restarts",
  [
    ({ live }) =>
      live === null ? cold : [
        attach,
        as("silence", setSilentIntents(["a"])),
        as("silence none", setSilentIntents([])),
        as("know", Tools.replaceCatalogs(catalogs)),
        as("stage all", Tools.stageFilter({ _tag: "All" }, {})),
        as("bind", prepareBindings(1)),
        as("reset", reset),
        as("recycle", recycle),
        as("retire", retire),
        as("stop", stop),
        ...around
      ]
  ]
)

const ofTools = (name: string, about: string, offer: Offer): Slice<Node, Deed> => {
  const slice = ofSessions(name, about, [offer])
  return {
    ...slice,
    states: [...slice.states, ...states],
    steps: [...slice.steps, ...steps],
    paths: slice.paths.filter(({ id }) => id !== "LIVE-3"),
    atMost: 10_000
  }
}

export const toolFilters = ofTools(
  "tools: filters",
  "filters, publication, changes of the model, the tool catalogs of the process × runs of one input × restarts",
  offering(filtering, ofFilters, models)
)

export const deferredTools = ofTools(
  "tools: deferred",
  "deferred tools, publication, the tool catalogs of the process × runs of one input × restarts",
  offering(deferring, ofDeferred, () => [])
)
