/**
 * JSON values and the optional field of persisted structures. Every schema that is stored uses them.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/** A JSON value. @since 0.1.0 @category models */
export type Json = string | number | boolean | null | ReadonlyArray<Json> | { readonly [key: string]: Json }

/** The schema of a JSON value. @since 0.1.0 @category schemas */
export const Json: Schema.Schema<Json> = Schema.suspend(() =>
  Schema.Union(
    Schema.String,
    Schema.JsonNumber,
    Schema.Boolean,
    Schema.Null,
    Schema.Array(Json),
    Schema.Record({ key: Schema.String, value: Json })
  )
)

/**
 * Makes an optional field that is absent or has a value, never `undefined`. All persisted structures use it. So a value
 * and its stored JSON have the same shape, and writing is `JSON.stringify` alone.
 *
 * @since 0.1.0
 * @category schemas
 */
export const optional = <A, I>(schema: Schema.Schema<A, I>) => Schema.optionalWith(schema, { exact: true })
