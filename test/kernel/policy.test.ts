/** The policy table: how each kind of input is admitted, queued and run. */
import { describe, expect, it } from "@effect/vitest"
import type { Input, InputKind } from "../../src/domain/Input.js"
import { kindOf } from "../../src/domain/Input.js"
import type { HandlingMode } from "../../src/domain/Turn.js"
import type { PolicyResolution } from "../../src/kernel/policy.js"
import { policyTable, resolvePolicy, semanticsFor } from "../../src/kernel/policy.js"
import * as In from "../support/inputs.js"

type Mode = HandlingMode | "-"

/**
 * Kind, explicit mode and the expected row of the table. The second field of a row holds its wakes, idle/busy. The last
 * field says whether a running turn is asked to yield.
 */
const golden: ReadonlyArray<readonly [InputKind, Mode, string]> = [
  ["prompt", "-", "run_start if_idle/none fifo run_complete queue_next_turn queue Q run_start C tr -"],
  ["prompt", "queue", "run_start if_idle/none fifo run_complete queue_next_turn queue Q run_start C tr -"],
  ["prompt", "steer", "run_boundary if_idle/yielding fifo run_complete steer_batch steer S run_checkpoint C tr yield"],
  ["flow_step", "-", "run_start if_idle/none fifo run_complete queue_next_turn queue Q run_start C tr -"],
  ["flow_step", "queue", "run_start if_idle/none fifo run_complete queue_next_turn queue Q run_start C tr -"],
  [
    "flow_step",
    "steer",
    "run_boundary if_idle/yielding fifo run_complete steer_batch steer S run_checkpoint C tr yield"
  ],
  ["external_event", "queue", "run_start if_idle/none fifo run_complete queue_next_turn queue Q run_start C tr -"],
  [
    "external_event",
    "steer",
    "run_boundary if_idle/yielding fifo run_complete steer_batch steer S run_checkpoint C tr yield"
  ],
  ["peer_message", "-", "run_start if_idle/if_idle fifo run_complete queue_next_turn queue Q run_start C tr -"],
  ["peer_message", "queue", "run_start if_idle/none fifo run_complete queue_next_turn queue Q run_start C tr -"],
  [
    "peer_message",
    "steer",
    "run_boundary if_idle/yielding fifo run_complete steer_batch steer S run_checkpoint C tr yield"
  ],
  ["peer_request", "-", "run_start if_idle/if_idle fifo run_complete queue_next_turn queue Q run_start C tr -"],
  ["peer_request", "queue", "run_start if_idle/none fifo run_complete queue_next_turn queue Q run_start C tr -"],
  [
    "peer_request",
    "steer",
    "run_boundary if_idle/yielding fifo run_complete steer_batch steer S run_checkpoint C tr yield"
  ],
  [
    "peer_response_progress",
    "-",
    "run_boundary none/none coalesce run_complete steer_batch steer S run_checkpoint C tr -"
  ],
  [
    "peer_response_progress",
    "queue",
    "run_boundary none/none coalesce run_complete steer_batch steer S run_checkpoint C tr -"
  ],
  [
    "peer_response_progress",
    "steer",
    "run_boundary none/none coalesce run_complete steer_batch steer S run_checkpoint C tr -"
  ],
  [
    "peer_response_terminal",
    "-",
    "run_start if_idle/if_idle fifo run_complete queue_next_turn queue Q run_start C+T tr -"
  ],
  [
    "peer_response_terminal",
    "queue",
    "run_start if_idle/none fifo run_complete queue_next_turn queue Q run_start C+T tr -"
  ],
  [
    "peer_response_terminal",
    "steer",
    "run_start if_idle/yielding fifo run_complete steer_batch steer S run_start C+T tr yield"
  ],
  ["continuation", "queue", "run_start if_idle/none fifo run_complete queue_next_turn queue Q run_start R - -"],
  [
    "continuation",
    "steer",
    "run_boundary if_idle/yielding fifo run_complete steer_batch steer S run_checkpoint R - yield"
  ],
  ["operation", "-", "ignore none/none priority accept ignore drop - run_start C - -"]
]

const silent = "run_start none/none fifo run_complete queue_next_turn queue Q run_start C tr -"

const explicit = (mode: Mode): HandlingMode | undefined => mode === "-" ? undefined : mode

const metadataOf = (mode: Mode) => mode === "-" ? undefined : { handlingMode: mode }

const inputOf = (kind: InputKind, mode: Mode): Input => {
  switch (kind) {
    case "prompt":
      return In.prompt(1, metadataOf(mode))
    case "flow_step":
      return In.flowStep(1, metadataOf(mode))
    case "external_event":
      return In.event(1, explicit(mode))
    case "peer_message":
      return In.peer(1, In.message, explicit(mode))
    case "peer_request":
      return In.peer(1, In.request, explicit(mode))
    case "peer_response_progress":
      return In.peer(1, In.progress, explicit(mode))
    case "peer_response_terminal":
      return In.peer(1, In.terminal, explicit(mode))
    case "continuation":
      return In.continuation(1, explicit(mode))
    case "operation":
      return In.operation(1)
  }
}

const resolve = (input: Input, busy: boolean, withoutWake = false): PolicyResolution =>
  resolvePolicy({ input, busy, silentIntents: ["hush"], withoutWake })

const wake = ({ decision }: PolicyResolution): string =>
  decision.wakeMode === "none" ? "none" : decision.wakeMode === "wake_if_idle" ? "if_idle" : "yielding"

const laneLetter = ({ lane }: PolicyResolution): string => lane === null ? "-" : lane === "queue" ? "Q" : "S"

const execution = ({ semantics }: PolicyResolution): string =>
  (semantics.executionKind === "content_turn" ? "C" : "R") + (semantics.terminalIntent === undefined ? "" : "+T")

const render = (input: Input): string => {
  const idle = resolve(input, false)
  const busy = resolve(input, true)
  const d = idle.decision
  return [
    d.applyMode.replace("stage_", ""),
    `${wake(idle)}/${wake(busy)}`,
    d.queueMode,
    d.consumePoint.replace("on_", ""),
    d.drainPolicy,
    d.routing,
    laneLetter(idle),
    idle.semantics.boundary,
    execution(idle),
    d.recordTranscript ? "tr" : "-",
    busy.asksYield ? "yield" : "-"
  ].join(" ")
}

describe("policy", () => {
  it.each(golden)("resolves %s with mode %s", (kind, mode, expected) => {
    expect(kindOf(inputOf(kind, mode))).toBe(kind)
    expect(render(inputOf(kind, mode))).toBe(expected)
  })

  it("treats a message without a convention as a peer message", () => {
    expect(render(In.peer(1))).toBe(render(In.peer(1, In.message)))
  })

  it.each(["-", "queue", "steer"] as const)("ING-16: a silent intent wins over mode %s", (mode) => {
    const input = In.peer(1, In.silentRequest, explicit(mode))
    expect(render(input)).toBe(silent)
    expect([resolve(input, false).hold, resolve(input, true).hold]).toEqual([true, true])
  })

  it("only requests are silent, and only with exactly the silent intent", () => {
    const other = In.peer(1, { type: "request", requestId: In.requestId, intent: "Hush" })
    expect(resolve(other, false).hold).toBe(false)
    expect(resolve(In.prompt(1), false).hold).toBe(false)
  })

  it("every kind, mode and phase resolves, and its semantics follow from the stored decision", () => {
    for (const [kind, mode] of golden) {
      for (const busy of [false, true]) {
        for (const withoutWake of [false, true]) {
          const input = inputOf(kind, mode)
          const resolved = resolve(input, busy, withoutWake)
          expect(resolved.semantics).toEqual(semanticsFor(resolved.decision, kind))
          expect(resolved.hold).toBe(withoutWake && kind !== "operation")
          expect(resolved.decision.version).toBe(1)
          expect(resolved.decision.emitOperatorContent).toBe(resolved.decision.recordTranscript)
        }
      }
    }
  })

  it("ING-24: without wake, only wake mode, hold and the request to yield differ", () => {
    for (const [kind, mode] of golden) {
      const input = inputOf(kind, mode)
      const { decision, ...rest } = resolve(input, true)
      expect(resolve(input, true, true)).toEqual({
        ...rest,
        hold: kind !== "operation",
        asksYield: false,
        decision: { ...decision, wakeMode: "none" }
      })
    }
  })

  it("an idle session is never asked to yield", () => {
    expect(golden.some(([kind, mode]) => resolve(inputOf(kind, mode), false).asksYield)).toBe(false)
  })

  it("ING-05: an operation is consumed when it is accepted", () => {
    expect(resolve(In.operation(1), false)).toMatchObject({ lane: null, decision: { consumePoint: "on_accept" } })
  })

  it("the table also has rows without a mode for kinds that always carry one", () => {
    expect([policyTable.continuation.none.id, policyTable.external_event.none.id]).toEqual(["13", "1/2"])
  })
})
