/** How inputs become messages and context of a turn. */
import { describe, expect, it } from "@effect/vitest"
import type { Input } from "../../src/domain/Input.js"
import type { ContentBlock } from "../../src/domain/Message.js"
import { text } from "../../src/domain/Message.js"
import { primitive } from "../../src/kernel/primitive.js"
import { appendOf, contextOf } from "../../src/kernel/projection.js"
import * as In from "../support/inputs.js"

const image: ContentBlock = { type: "image", mediaType: "image/png", data: { type: "inline", base64: "AA==" } }

const texts = (input: Input) => appendOf(input)?.blocks.map((block) => block.type === "text" ? block.text : block.type)

const talk = (fields: Partial<Extract<Input, { readonly _tag: "Peer" }>>): Input => ({
  ...In.peer(1),
  _tag: "Peer",
  body: "hi",
  ...fields
})

describe("appendOf", () => {
  it("BAT-13: appends the text of a prompt unchanged as the user", () => {
    expect(appendOf({ ...In.prompt(1), _tag: "Prompt", text: "  a\n" })).toEqual({
      role: "user",
      blocks: [{ type: "text", text: "  a\n" }]
    })
  })

  it("blocks replace the text", () => {
    const blocks = [text("x"), image]
    expect(appendOf({ ...In.prompt(1), _tag: "Prompt", text: "y", blocks })?.blocks).toBe(blocks)
    expect(texts({ ...In.prompt(1), _tag: "Prompt", text: "y", blocks: [] })).toEqual(["y"])
    expect(texts(In.flowStep(1))).toEqual(["step 1"])
  })

  it("an event names its source", () => {
    const event = In.event(1)
    expect(texts(event)).toEqual(["[EVENT via hook] event 1"])
    expect(texts({ ...event, _tag: "ExternalEvent", eventType: "push", handlingMode: "queue", payload: [1] })).toEqual([
      "[EVENT via hook]"
    ])
    for (const payload of [null, "body", 1, { body: 1 }, {}]) {
      expect(texts({ ...event, _tag: "ExternalEvent", eventType: "push", handlingMode: "queue", payload })).toEqual([
        "[EVENT via hook]"
      ])
    }
    expect(texts(In.event(1, "queue", undefined, { source: { type: "external", sourceName: " " } }))).toEqual([
      "[EVENT via push] event 1"
    ])
    expect(texts(In.event(1, "queue", undefined, { source: { type: "system" } }))).toEqual(["[EVENT via push] event 1"])
  })

  it("a message is its body, and one with media names its sender", () => {
    expect(texts(talk({ convention: In.message }))).toEqual(["hi"])
    expect(texts(talk({ convention: In.message, body: "" }))).toBeUndefined()
    const from = `[COMMS MESSAGE from ${In.peerId}]`
    expect(texts(talk({ convention: In.message, blocks: [image] }))).toEqual([from, "hi", "image"])
    expect(texts(talk({ convention: In.message, blocks: [text("hi there"), image] }))).toEqual([
      from,
      "hi there",
      "image"
    ])
    const bannered = talk({ convention: In.message, body: "[COMMS MESSAGE from Ada]\nhi", blocks: [image] })
    expect(texts(bannered)).toEqual(["[COMMS MESSAGE from Ada]", "hi", "image"])
  })

  it("without a convention the body comes first, once", () => {
    expect(texts(talk({ blocks: [image] }))).toEqual(["hi", "image"])
    expect(texts(talk({ blocks: [text("hi"), image] }))).toEqual(["hi", "image"])
    expect(texts(talk({ body: "", blocks: [image] }))).toEqual(["image"])
  })

  it("a request explains itself and how to answer", () => {
    const [notice] = texts(talk({ convention: In.request, payload: { x: 1 } })) ?? []
    for (const part of [`Ada (${In.peerId})`, "intent: ask", In.requestId, "\"x\": 1", "send_response"]) {
      expect(notice).toContain(part)
    }
    expect(notice).not.toContain("hi")
    const anonymous = talk({ convention: In.request, header: In.prompt(1).header })
    expect(texts(anonymous)).toEqual(["hi"])
  })

  it("a progress input names its request and phase", () => {
    const [notice] = texts(talk({ convention: In.progress })) ?? []
    expect(notice).toContain("phase: in progress")
    expect(notice).toContain(In.requestId)
  })

  it("terminal responses, continuations and operations append no message", () => {
    expect([In.peer(1, In.terminal), In.continuation(1), In.operation(1)].map(appendOf)).toEqual([null, null, null])
  })
})

describe("contextOf", () => {
  it("a terminal response has its own key", () => {
    const context = contextOf(talk({ convention: In.terminal, payload: { ok: true } }))
    expect(context?.key).toBe(`peer_response_terminal:${In.peerId}:${In.requestId}`)
    for (const part of ["Ada", In.requestId, "status: completed", "\"ok\": true"]) {
      expect(context?.text).toContain(part)
    }
  })

  it("a terminal response without a peer has no context, nor has any other input", () => {
    expect(contextOf(talk({ convention: In.terminal, header: In.prompt(1).header }))).toBeNull()
    expect([In.prompt(1), In.peer(1, In.progress), In.continuation(1)].map(contextOf)).toEqual([null, null, null])
  })
})

describe("primitive", () => {
  it("BAT-13: one message per prompt, at the start of a run", () => {
    expect(primitive([In.record(In.peer(1, In.message)), In.record(In.prompt(2, { model: "m" }))])).toEqual({
      boundary: "run_start",
      executionKind: "content_turn",
      inputIds: [In.inputId(1), In.inputId(2)],
      appends: [
        { role: "user", blocks: [text("peer 1")] },
        { role: "user", blocks: [text("prompt 2")] }
      ],
      contexts: [],
      metadata: { model: "m" }
    })
  })

  it("a turn that reacts to a terminal response has only context, also for the inputs that ride along", () => {
    const turn = primitive([In.record(In.peer(1, In.progress)), In.record(In.peer(2, In.terminal))])
    expect([turn.boundary, turn.terminalIntent, turn.appends]).toEqual(["run_start", "append_context_and_run", []])
    expect(turn.contexts.map(({ key }) => key)).toEqual([
      `peer_response_progress:${In.inputId(1)}`,
      `peer_response_terminal:${In.peerId}:${In.requestId}`
    ])
  })

  it("media stay a message in such a turn", () => {
    const rider = In.held(talk({ convention: In.message, blocks: [image] }))
    const turn = primitive([rider, In.record(In.peer(2, In.terminal))])
    expect([turn.appends.length, turn.contexts.length]).toEqual([1, 1])
  })

  it("a continuation resumes without messages, and an empty batch is an empty turn", () => {
    expect(primitive([In.record(In.continuation(1))])).toMatchObject({
      boundary: "run_checkpoint",
      executionKind: "resume_pending",
      appends: [],
      contexts: []
    })
    expect(primitive([])).toEqual({
      boundary: "run_start",
      executionKind: "content_turn",
      inputIds: [],
      appends: [],
      contexts: [],
      metadata: {}
    })
  })
})
