/**
 * The ids of the project as branded strings. Every other module uses them. Invariants: an id is a well-formed string that
 * its schema has checked; session id and runtime id map to each other one to one.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Name } from "./Text.js"

/**
 * The name that a caller gives to a session: 1–200 well-formed characters, without control characters.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SessionId = Name.pipe(
  Schema.minLength(1),
  Schema.maxLength(200),
  Schema.pattern(/^[^\u0000-\u001f\u007f-\u009f]*$/),
  Schema.brand("SessionId")
).annotations({ message: () => "a session id has 1 to 200 characters and no control characters" })
/** @since 0.1.0 @category models */
export type SessionId = typeof SessionId.Type

const uuid = <B extends string>(brand: B) => Schema.UUID.pipe(Schema.brand(brand))

/** The store's name for a session: `rt:session:<sessionId>`. @since 0.1.0 @category schemas */
export const RuntimeId = Name.pipe(Schema.minLength(1), Schema.brand("RuntimeId"))
/** @since 0.1.0 @category models */
export type RuntimeId = typeof RuntimeId.Type

/** Identity of one input; its waiters are registered under it. @since 0.1.0 @category schemas */
export const InputId = uuid("InputId")
/** @since 0.1.0 @category models */
export type InputId = typeof InputId.Type

/** Identity of one run of an executor. @since 0.1.0 @category schemas */
export const RunId = uuid("RunId")
/** @since 0.1.0 @category models */
export type RunId = typeof RunId.Type

/** Identity of one background operation. @since 0.1.0 @category schemas */
export const OperationId = uuid("OperationId")
/** @since 0.1.0 @category models */
export type OperationId = typeof OperationId.Type

/** Identity of a session's operations and feed; a new epoch begins a new sequence of completions. @since 0.1.0 @category schemas */
export const EpochId = uuid("EpochId")
/** @since 0.1.0 @category models */
export type EpochId = typeof EpochId.Type

/** Identity of one commit; a store applies it at most once. @since 0.1.0 @category schemas */
export const RequestId = uuid("RequestId")
/** @since 0.1.0 @category models */
export type RequestId = typeof RequestId.Type

/** Identity of one wait-all barrier. @since 0.1.0 @category schemas */
export const WaitRequestId = uuid("WaitRequestId")
/** @since 0.1.0 @category models */
export type WaitRequestId = typeof WaitRequestId.Type

/** SHA-256 as 64 lower-case hex digits. @since 0.1.0 @category schemas */
export const Sha256 = Schema.String.pipe(Schema.pattern(/^[0-9a-f]{64}$/), Schema.brand("Sha256"))
/** @since 0.1.0 @category models */
export type Sha256 = typeof Sha256.Type

const runtimePrefix = "rt:session:"

const decodeSessionId = Schema.decodeUnknownOption(SessionId)

/** Returns the runtime id of a session. @since 0.1.0 @category constructors */
export const runtimeIdOf = (sessionId: SessionId): RuntimeId => RuntimeId.make(runtimePrefix + sessionId)

/** Returns the session of a runtime id; empty for any other text, also for a session id without the prefix. @since 0.1.0 @category accessors */
export const sessionIdOf = (runtimeId: string): Option.Option<SessionId> =>
  runtimeId.startsWith(runtimePrefix)
    ? decodeSessionId(runtimeId.slice(runtimePrefix.length))
    : Option.none()
