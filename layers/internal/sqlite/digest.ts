/**
 * The digests of stored rows. The SQLite store writes and checks them.
 *
 * @since 0.1.0
 */
// @effect-diagnostics nodeBuiltinImport:off
import { createHash } from "node:crypto"

/** Returns the SHA-256 of stored bytes: 32 bytes. @since 0.1.0 @category constructors */
export const sha256 = (bytes: string | Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest()

/** True if stored bytes are what was written in this place. @since 0.1.0 @category guards */
export const matches = (bytes: string | Uint8Array, digest: unknown, place: ReadonlyArray<number>): boolean =>
  digest instanceof Uint8Array && Buffer.compare(bind(sha256(bytes), place), digest) === 0

/**
 * Binds a digest to one place: a row, by its integers (at most four). A document that is read from another place, or
 * under a changed key, does not match.
 *
 * @since 0.1.0
 * @category constructors
 */
export const bind = (digest: Uint8Array, place: ReadonlyArray<number>): Uint8Array => {
  const bytes = Buffer.from(digest)
  for (const [i, n] of place.entries()) {
    bytes.writeInt32LE(bytes.readInt32LE(i * 8) ^ (n | 0), i * 8)
    bytes.writeInt32LE(bytes.readInt32LE(i * 8 + 4) ^ Math.floor(n / 2 ** 32), i * 8 + 4)
  }
  return bytes
}

/**
 * Returns the first 48 bits of a digest, for short columns that are compared at each read.
 *
 * @since 0.1.0
 * @category constructors
 */
export const sumOf = (text: string): number => createHash("sha256").update(text).digest().readUIntBE(0, 6)
