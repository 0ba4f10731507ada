/**
 * Buffers for the output of a command: all of it up to a limit, or its end. The command executor fills them.
 *
 * @since 0.1.0
 */
import { Buffer } from "node:buffer"

/** Collects the whole output of a stream, up to a limit. @since 0.1.0 @category models */
export interface Collector {
  /** returns false if this chunk exceeds the limit; then everything collected is dropped and nothing more is kept */
  readonly push: (chunk: Buffer) => boolean
  readonly overflowed: () => boolean
  readonly bytes: () => Uint8Array
}

/** Makes a collector of at most `limit` bytes. @since 0.1.0 @category constructors */
export const makeCollector = (limit: number): Collector => {
  let chunks: Array<Buffer> = []
  let size = 0
  return {
    push: (chunk) => {
      size += chunk.length
      if (size <= limit) chunks.push(chunk)
      else chunks = []
      return size <= limit
    },
    overflowed: () => size > limit,
    bytes: () => Buffer.concat(chunks)
  }
}

/** The end of a stream's output. @since 0.1.0 @category models */
export interface Tail {
  readonly push: (chunk: Buffer) => void
  /** UTF-8; begins with a whole character, invalid bytes are replaced */
  readonly text: () => string
}

/** Makes a tail of the last `limit` bytes. @since 0.1.0 @category constructors */
export const makeTail = (limit: number): Tail => {
  let kept = Buffer.alloc(0)
  let cut = false
  return {
    push: (chunk) => {
      const room = Math.max(0, limit - chunk.length)
      cut = cut || kept.length > room || chunk.length > limit
      // copied by concat: a slice would keep the whole chunk in memory
      kept = Buffer.concat([last(kept, room), last(chunk, limit)])
    },
    text: () => (cut ? fromWholeCharacter(kept) : kept).toString("utf8")
  }
}

// --- internal ---

const last = (bytes: Buffer, count: number) => bytes.subarray(Math.max(0, bytes.length - count))

/** Skips the continuation bytes at the start: a character has at most three of them. */
const fromWholeCharacter = (bytes: Buffer): Buffer => {
  const start = bytes.subarray(0, 3).findIndex((byte) => (byte & 0xc0) !== 0x80)
  return bytes.subarray(start < 0 ? Math.min(3, bytes.length) : start)
}
