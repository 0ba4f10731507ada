/** The check of an input before admission. */
import { describe, expect, it } from "@effect/vitest"
import * as Either from "effect/Either"
import type { Input, InputOrigin, PeerConvention } from "../../src/domain/Input.js"
import { text } from "../../src/domain/Message.js"
import { validateInput } from "../../src/kernel/validateInput.js"
import * as In from "../support/inputs.js"

const system = { durability: "derived", source: { type: "system" } } as const
const flow = { durability: "derived", source: { type: "flow", flowId: "f", stepIndex: 0 } } as const

const refused = (input: Input) => Either.getOrNull(Either.flip(validateInput(input)))

const response = (origin: Partial<Extract<InputOrigin, { readonly type: "peer" }>>, requestId = In.requestId): Input =>
  In.peer(1, { type: "response_terminal", requestId, status: "failed" }, undefined, {
    source: { type: "peer", peerId: In.peerId, displayIdentity: "Ada", ...origin }
  })

describe("validateInput", () => {
  it.each<readonly [string, Input]>([
    ["prompt", In.prompt(1)],
    ["blocks without text", { ...In.prompt(1), _tag: "Prompt", text: " ", blocks: [text("x")] }],
    ["flow step", In.flowStep(1)],
    ["event", In.event(1)],
    ["derived event", In.event(1, "queue", undefined, system)],
    ["message", In.peer(1, In.message, "steer")],
    ["request", In.peer(1, In.request, "queue")],
    ["progress", In.peer(1, In.progress)],
    ["derived progress", In.peer(1, In.progress, undefined, system)],
    ["derived without convention", In.peer(1, undefined, undefined, flow)],
    ["terminal", In.peer(1, In.terminal)],
    ["terminal from no peer", In.peer(1, In.terminal, undefined, { source: { type: "system" } })],
    ["terminal, ids in blanks", response({ peerId: ` ${In.peerId} ` }, ` ${In.requestId}`)],
    ["continuation", In.continuation(1)],
    ["operation", In.operation(1)]
  ])("accepts %s", (_, input) => {
    expect(Either.getOrNull(validateInput(input))).toBe(input)
  })

  it.each<readonly [string, Input]>([
    ["prompt", In.prompt(1, undefined, system)],
    ["flow_step", In.flowStep(1, undefined, flow)],
    ["peer_message", In.peer(1, In.message, undefined, system)],
    ["peer_request", In.peer(1, In.request, undefined, flow)],
    ["peer_response_terminal", In.peer(1, In.terminal, undefined, system)]
  ])("ING-08: refuses a derived %s", (kind, input) => {
    expect(refused(input)).toEqual({
      _tag: "DurabilityViolation",
      detail: `Derived durability forbidden for ${kind}`
    })
  })

  const outside: ReadonlyArray<InputOrigin> = [
    { type: "operator" },
    { type: "peer", peerId: In.peerId },
    { type: "external", sourceName: "hook" }
  ]
  it.each(outside)("ING-09: refuses a derived input of any kind from $type", (source) => {
    const fields = { durability: "derived", source } as const
    const inputs = [
      In.prompt(1, undefined, fields),
      In.event(1, "queue", undefined, fields),
      In.peer(1, In.progress, undefined, fields),
      In.continuation(1, "steer", fields),
      In.operation(1, fields)
    ]
    for (const input of inputs) {
      expect(refused(input)).toEqual({
        _tag: "DurabilityViolation",
        detail: "External ingress cannot submit derived inputs"
      })
    }
  })

  it.each(["queue", "steer"] as const)("ING-06: refuses progress with mode %s", (mode) => {
    expect(refused(In.peer(1, In.progress, mode))).toEqual({
      _tag: "PeerHandlingModeInvalid",
      detail: "handling_mode is forbidden on ResponseProgress peer inputs"
    })
  })

  const withoutDisplay: PeerConvention = In.terminal
  it.each<readonly [string, Input]>([
    ["transport identity cannot be empty", response({ runtimeId: " ", peerId: "" })],
    ["route identity cannot be empty", response({ peerId: "\t" })],
    ["route identity must be a canonical peer UUID", response({ peerId: "ada" })],
    ["route identity must be a canonical peer UUID", response({ peerId: `${In.peerId}\n` })],
    [
      "display identity is required",
      In.peer(1, withoutDisplay, undefined, { source: { type: "peer", peerId: In.peerId } })
    ],
    ["display identity cannot be empty", response({ displayIdentity: " " })],
    ["display identity cannot contain control characters", response({ displayIdentity: "A\u0007" })],
    ["correlation id cannot be empty", response({}, " ")],
    ["correlation id must be a UUID:  7", response({}, " 7")]
  ])("ING-07: refuses a terminal response: %s", (detail, input) => {
    expect(refused(input)).toEqual({ _tag: "PeerResponseTerminalInvalid", detail })
  })

  it("refuses an empty prompt", () => {
    const blank: Input = { ...In.prompt(1), _tag: "Prompt", text: " \n" }
    expect(refused(blank)).toEqual({ _tag: "InvalidInput", detail: "prompt is empty" })
    expect(refused({ ...blank, _tag: "Prompt", text: "", blocks: [] })).toEqual({
      _tag: "InvalidInput",
      detail: "prompt is empty"
    })
  })
})
