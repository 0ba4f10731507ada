// @effect-diagnostics nodeBuiltinImport:off
/** @since 0.1.0 */
import { createHash } from "node:crypto"

/** SHA-256 of stored bytes; 32 bytes. @since 0.1.0 @category constructors */
export const sha256 = (bytes: string | Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest()

/** Whether stored bytes are what was written. @since 0.1.0 @category guards */
export const matches = (bytes: string | Uint8Array, digest: unknown): boolean =>
  digest instanceof Uint8Array && Buffer.compare(sha256(bytes), digest) === 0
