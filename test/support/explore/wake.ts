/** Background operations, feed and cursors of a session that runs, idles, retires, crashes and opens again. */
import { OperationId } from "../../../src/domain/Ids.js"
import type { SessionState } from "../../../src/domain/SessionState.js"
import { beginAttach, detach, publishAttachment } from "../../../src/kernel/commands/attach.js"
import { beginUnregister, closeSession } from "../../../src/kernel/commands/close.js"
import { destroy, retire } from "../../../src/kernel/commands/lifecycle.js"
import { commitRun, requeueRun, stage } from "../../../src/kernel/commands/run.js"
import { unapplied } from "../../../src/kernel/feed.js"
import { liveOperations } from "../../../src/kernel/operationEnding.js"
import * as Ops from "../../../src/kernel/operations.js"
import { tokenOf } from "../../../src/kernel/rows/registration.js"
import { output } from "../kernel.js"
import { result, spec } from "../operations.js"
import type { Offer } from "./moves.js"
import type { Node, NodeMove } from "./node.js"
import {
  budgets,
  commanding,
  crash,
  freshInput,
  freshRun,
  register,
  staleRun,
  staleToken,
  together,
  unregistering
} from "./node.js"
import { ofSessions } from "./product.js"

/** Retains one ended operation and one feed entry; unread entries are retained four times as long. */
const limits = { ...budgets, maxCompletedOperations: 1, feedRetention: 1 }

const as = commanding(limits)

const operationId = (node: Node): OperationId => OperationId.make(freshInput(node, 7))

const begin = (name: string, node: Node, parts: Parameters<typeof spec>[1]): NodeMove => {
  const id = operationId(node)
  return together(
    name,
    "client",
    as("register", Ops.registerOperation({ ...spec(1, parts), id })),
    as("start", Ops.provisioningSucceeded(id))
  )
}

const operations = (node: Node, live: SessionState): ReadonlyArray<NodeMove> => {
  const running = liveOperations(live.operations)
  const ids = running.map(({ spec: { id } }) => id)
  return [
    ...(running.length > 0 || unapplied(live).length > 1 ? [] : [
      begin("background operation", node, { owner: "process" }),
      begin("external member child", node, { kind: "mob_member_child", owner: "external" })
    ]),
    ...ids.map((id, at) => as(`complete ${at + 1}`, Ops.completeOperation(id, result())))
  ]
}

const runs = (node: Node, live: SessionState): ReadonlyArray<NodeMove> => {
  const runId = live.lifecycle._tag === "Running" ? live.lifecycle.runId : staleRun
  const given = live.operations.epoch.lastSeq
  return [
    as("stage", stage({ token: tokenOf(live) ?? staleToken, runId: freshRun(node), clearance: "alone" }), "work"),
    as("commitRun, given the feed", commitRun({ runId, output: output({ agentApplied: given }) }), "work"),
    as("commitRun, given nothing", commitRun({ runId, output: output() }), "work"),
    as("requeueRun", requeueRun({ runId }), "work"),
    as("detach", detach(tokenOf(live) ?? staleToken), "work")
  ]
}

const attach = together(
  "attach",
  "work",
  as("beginAttach", beginAttach(1), "work"),
  as("publishAttachment", publishAttachment(1), "work")
)

const around = [
  attach,
  as("retire", retire),
  as("destroy", destroy),
  as("beginUnregister", beginUnregister, "teardown"),
  unregistering(limits, closeSession),
  crash
]

const cold = [register(limits)]

const offer: Offer = (node) =>
  node.live === null ? cold : [...operations(node, node.live), ...runs(node, node.live), ...around]

export const wake = ofSessions(
  "operations: wake",
  "one live operation at a time (background of the process, external member child), two unread feed entries, × cursors × runs of the continuation, with the wake at the end of each fold",
  [offer]
)
