/**
 * The turn metadata of inputs, and how a batch merges it. Selection and the primitive of a run call it.
 *
 * @since 0.1.0
 */
import * as Either from "effect/Either"
import type { InputRecord } from "../domain/InputRecord.js"
import type { Json } from "../domain/Json.js"
import type { Override, TurnMetadata } from "../domain/Turn.js"

/** Metadata without any setting. @since 0.1.0 @category constructors */
export const none: TurnMetadata = {}

/** Returns the settings that one input asks of its turn. @since 0.1.0 @category accessors */
export const memberMetadata = ({ input }: InputRecord): TurnMetadata => {
  switch (input._tag) {
    case "Prompt":
    case "FlowStep":
      return input.metadata ?? none
    case "ExternalEvent":
      return input.renderMetadata === undefined
        ? { handlingMode: input.handlingMode }
        : { handlingMode: input.handlingMode, renderMetadata: input.renderMetadata }
    case "Continuation":
      return { handlingMode: input.handlingMode }
    case "Peer":
    case "Operation":
      return none
  }
}

/**
 * Merges the metadata of two inputs of one turn. Absent settings are neutral, and lists are joined in order. Two
 * different values of one setting are a conflict, which the error names. The order of the inputs does not decide
 * whether there is a conflict.
 *
 * @since 0.1.0
 * @category combinators
 */
export const merge = (a: TurnMetadata, b: TurnMetadata): Either.Either<TurnMetadata, string> =>
  isNone(b) ? Either.right(a) : isNone(a) ? Either.right(b) : Either.map(settings(a, b), present)

// --- internal ---

/** Every field of the metadata, absent as `undefined`. So a new field without a merge does not compile. */
type Settings = { readonly [K in keyof Required<TurnMetadata>]: TurnMetadata[K] | undefined }

const isNone = (metadata: TurnMetadata): boolean => Object.keys(metadata).length === 0

const settings = (a: TurnMetadata, b: TurnMetadata): Either.Either<Settings, string> =>
  Either.all({
    handlingMode: scalar("handlingMode", a.handlingMode, b.handlingMode),
    flowToolOverlay: scalar("flowToolOverlay", a.flowToolOverlay, b.flowToolOverlay),
    model: scalar("model", a.model, b.model),
    provider: scalar("provider", a.provider, b.provider),
    keepAlive: scalar("keepAlive", a.keepAlive, b.keepAlive),
    renderMetadata: scalar("renderMetadata", a.renderMetadata, b.renderMetadata),
    providerParams: override("providerParams", a.providerParams, b.providerParams),
    authBinding: override("authBinding", a.authBinding, b.authBinding),
    skillReferences: Either.right(joined(a.skillReferences, b.skillReferences)),
    additionalInstructions: Either.right(joined(a.additionalInstructions, b.additionalInstructions))
  })

/** Leaves absent fields out instead of setting `undefined`, because metadata is stored unchanged. */
const present = (all: Settings): TurnMetadata => ({
  ...(all.handlingMode === undefined ? {} : { handlingMode: all.handlingMode }),
  ...(all.flowToolOverlay === undefined ? {} : { flowToolOverlay: all.flowToolOverlay }),
  ...(all.model === undefined ? {} : { model: all.model }),
  ...(all.provider === undefined ? {} : { provider: all.provider }),
  ...(all.keepAlive === undefined ? {} : { keepAlive: all.keepAlive }),
  ...(all.renderMetadata === undefined ? {} : { renderMetadata: all.renderMetadata }),
  ...(all.providerParams === undefined ? {} : { providerParams: all.providerParams }),
  ...(all.authBinding === undefined ? {} : { authBinding: all.authBinding }),
  ...(all.skillReferences === undefined ? {} : { skillReferences: all.skillReferences }),
  ...(all.additionalInstructions === undefined ? {} : { additionalInstructions: all.additionalInstructions })
})

const scalar = <A extends Json>(
  field: string,
  a: A | undefined,
  b: A | undefined
): Either.Either<A | undefined, string> =>
  a === undefined || b === undefined || sameJson(a, b)
    ? Either.right(a ?? b)
    : Either.left(`${field}: two inputs in one batch set distinct scalar overrides`)

const override = (
  field: string,
  a: Override | undefined,
  b: Override | undefined
): Either.Either<Override | undefined, string> =>
  a !== undefined && b !== undefined && a.type !== b.type
    ? Either.left(`${field}: one input sets the field while another clears it`)
    : scalar(field, a, b)

const joined = <A>(
  a: ReadonlyArray<A> | undefined,
  b: ReadonlyArray<A> | undefined
): ReadonlyArray<A> | undefined => a === undefined ? b : b === undefined ? a : [...a, ...b]

const isArray = (value: Json): value is ReadonlyArray<Json> => Array.isArray(value)

/** Compares JSON values; the order of keys does not matter. */
const sameJson = (a: Json, b: Json): boolean => {
  if (a === b) {
    return true
  }
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") {
    return false
  }
  if (isArray(a) || isArray(b)) {
    return isArray(a) && isArray(b) && a.length === b.length && a.every((item, index) => sameAt(item, b[index]))
  }
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => sameAt(a[key], b[key]))
}

const sameAt = (a: Json | undefined, b: Json | undefined): boolean =>
  a !== undefined && b !== undefined && sameJson(a, b)
