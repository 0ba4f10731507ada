/** Merging the metadata of inputs that share a batch. */
import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import { TurnMetadata } from "../../src/domain/Turn.js"
import { memberMetadata, merge, none } from "../../src/kernel/metadata.js"
import * as In from "../support/inputs.js"

const set = (value: string) => ({ type: "set", value } as const)
const clear = { type: "clear" } as const
const ofKeepAlive = (ttlSeconds: number) => ({ keepAlive: { ttlSeconds, policy: "pinned" } } as const)
const urgent = { class: "external_event", salience: "urgent" } as const

describe("merge", () => {
  it.each<readonly [string, TurnMetadata, TurnMetadata]>([
    ["handlingMode", { handlingMode: "queue" }, { handlingMode: "steer" }],
    ["flowToolOverlay", { flowToolOverlay: { a: [1, { b: 2 }] } }, { flowToolOverlay: { a: [1, { b: 3 }] } }],
    ["model", { model: "a" }, { model: "b" }],
    ["provider", { provider: "a" }, { provider: "b" }],
    ["keepAlive", ofKeepAlive(1), ofKeepAlive(2)],
    ["renderMetadata", { renderMetadata: urgent }, { renderMetadata: { ...urgent, salience: "normal" } }],
    ["providerParams", { providerParams: set("a") }, { providerParams: set("b") }],
    ["authBinding", { authBinding: set("a") }, { authBinding: set("b") }]
  ])("BAT-09: two values of %s conflict, equal or absent values do not", (field, a, b) => {
    expect(Either.getOrNull(Either.flip(merge(a, b)))).toBe(
      `${field}: two inputs in one batch set distinct scalar overrides`
    )
    expect(Either.getOrNull(merge(a, structuredClone(a)))).toEqual(a)
    expect(Either.getOrNull(merge(a, none))).toEqual(a)
    expect(Either.getOrNull(merge({ skillReferences: ["s"] }, b))).toEqual({ ...b, skillReferences: ["s"] })
  })

  it.each(["providerParams", "authBinding"] as const)("setting and clearing %s conflict", (field) => {
    expect(Either.getOrNull(Either.flip(merge({ [field]: set("a") }, { [field]: clear })))).toBe(
      `${field}: one input sets the field while another clears it`
    )
    expect(Either.getOrNull(merge({ [field]: clear }, { [field]: clear }))).toEqual({ [field]: clear })
  })

  it("lists are concatenated in order, duplicates included", () => {
    const instruction = { kind: "host", body: "b" } as const
    expect(
      Either.getOrNull(merge(
        { skillReferences: ["a", "b"], additionalInstructions: [instruction] },
        { skillReferences: ["b"], additionalInstructions: [instruction] }
      ))
    ).toEqual({ skillReferences: ["a", "b", "b"], additionalInstructions: [instruction, instruction] })
  })

  it("the order of keys does not matter", () => {
    const [a, b] = [{ flowToolOverlay: { x: 1, y: null } }, { flowToolOverlay: { y: null, x: 1 } }]
    expect(Either.isRight(merge(a, b))).toBe(true)
    expect(Either.isRight(merge(a, { flowToolOverlay: { x: 1, z: null } }))).toBe(false)
    expect(Either.isRight(merge({ flowToolOverlay: [1] }, { flowToolOverlay: { 0: 1 } }))).toBe(false)
    expect(Either.isRight(merge({ flowToolOverlay: [1, 2] }, { flowToolOverlay: [1] }))).toBe(false)
  })

  it("a conflict does not depend on the order, and a merge adds no field", () => {
    const metadata = Arbitrary.make(TurnMetadata)
    FastCheck.assert(FastCheck.property(metadata, metadata, (a, b) => {
      const ab = merge(a, b)
      expect(Either.isRight(merge(b, a))).toBe(Either.isRight(ab))
      if (Either.isRight(ab)) {
        expect(new Set(Object.keys(ab.right))).toEqual(new Set([...Object.keys(a), ...Object.keys(b)]))
      }
    }))
  })
})

describe("memberMetadata", () => {
  it("prompts and steps carry metadata, events and continuations only their mode, peers and operations none", () => {
    const of = (input: Parameters<typeof In.record>[0]) => memberMetadata(In.record(input))
    expect(of(In.prompt(1, { model: "m" }))).toEqual({ model: "m" })
    expect(of(In.prompt(1))).toEqual({})
    expect(of(In.flowStep(1, { provider: "p" }))).toEqual({ provider: "p" })
    expect(of(In.event(1, "steer", urgent))).toEqual({ handlingMode: "steer", renderMetadata: urgent })
    expect(of(In.event(1))).toEqual({ handlingMode: "queue" })
    expect(of(In.continuation(1))).toEqual({ handlingMode: "steer" })
    expect(of(In.peer(1, In.message, "steer"))).toEqual({})
    expect(of(In.operation(1))).toEqual({})
  })
})
