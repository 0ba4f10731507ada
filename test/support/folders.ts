/**
 * Where tests keep files whose medium does not matter. Rows check what the store holds, and a disk that other programs
 * write to would only make them wait; tests about files, locks and durability use the system's own folder.
 */
import { accessSync, constants, statSync } from "node:fs"
import { tmpdir } from "node:os"

const memory = "/dev/shm"

const isThere = (): boolean => {
  try {
    accessSync(memory, constants.W_OK)
    return statSync(memory).isDirectory()
  } catch {
    return false
  }
}

/** A folder in memory, or that for temporary files where there is none. */
export const quickFolder = isThere() ? memory : tmpdir()
