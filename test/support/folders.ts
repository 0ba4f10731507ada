/**
 * The folder of test files whose medium does not matter. Rows check the contents of the store, and a disk that other
 * programs write to would only slow them down. Tests of files, locks and durability use the temporary folder instead.
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

/** A folder in memory, or the folder for temporary files if the system has no folder in memory. */
export const quickFolder = isThere() ? memory : tmpdir()
