/**
 * One command in its own process group, with a watcher that ends the group when this process ends.
 *
 * `commandProcess` calls it. Invariants: no command runs without a watcher; no signal goes to a process number that may
 * already belong to another process.
 *
 * @since 0.1.0
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FiberId from "effect/FiberId"
// Command of @effect/platform supports neither process groups nor additional descriptors
// @effect-diagnostics-next-line nodeBuiltinImport:off
import { type ChildProcess, spawn } from "node:child_process"
import { Socket } from "node:net"
import { CommandNotStarted } from "../../src/domain/ExternalCommand.js"
import { countMembers } from "./groupMembers.js"
import { until } from "./pauses.js"

/** What a group is started with. @since 0.1.0 @category models */
export interface GroupOptions {
  /** path of the program, then its arguments; PATH is not searched */
  readonly argv: ReadonlyArray<string>
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string | undefined
  /** milliseconds between the watcher's SIGTERM and SIGKILL after this process has ended */
  readonly graceMs: number
}

/** How the command ended, as the kernel reported it; exactly one field is set. @since 0.1.0 @category models */
export interface GroupExit {
  readonly exitCode: number | null
  readonly signal: string | null
}

/** A started command with its group. @since 0.1.0 @category models */
export interface ProcessGroup {
  readonly stdin: Socket
  readonly stdout: Socket
  readonly stderr: Socket
  /** Waits for the end of the command itself and returns it; other processes of the group may still run. */
  readonly exited: Effect.Effect<GroupExit>
  /** Whether the watcher was forked; without a watcher the command was not started. */
  readonly wasGuarded: () => boolean
  /** Sends SIGKILL to the whole group at once and does not wait. */
  readonly kill: () => void
  /**
   * Ends all processes of the group and waits for their end. It sends SIGTERM, then SIGKILL after `graceMs`, or as soon
   * as only the watcher is left; 0 sends SIGKILL at once. It takes at most `graceMs` and a few seconds, and closes the
   * streams.
   */
  readonly terminate: (graceMs: number) => Effect.Effect<void>
}

/**
 * Starts a command. The caller must run `terminate` in every case.
 *
 * The leader of the group starts as `/bin/sh`, forks the watcher and then becomes the command. So the kernel reports the
 * command's own exit status to this process. The watcher stays in the group and reads the lifeline, a pipe whose other end
 * only this process holds. When the pipe ends, the watcher sends SIGTERM and, after the grace, SIGKILL to its own group:
 * to "0", never to a number. It is forked twice: a command that waits for all its children must not wait for the watcher.
 *
 * Limits:
 * - Processes that leave the group (`setsid`, `setpgid`, a shell's `set -m`, Node's `detached`) are not ended.
 * - A group that stops itself (SIGSTOP) stops the watcher too; then only this process can end the group.
 * - Init reaps the watcher. If this process is process 1 of a container without an init, each command leaves one zombie.
 * - Node's pipes are socket pairs: opening `/dev/stdin` or `/dev/stderr` by name fails on Linux (`cat |` helps).
 * - Some shells drop variables whose names are no identifiers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const start = (options: GroupOptions): Effect.Effect<ProcessGroup, CommandNotStarted> =>
  Effect.async((resume) => {
    const child = Either.try({ try: () => launch(options), catch: notStarted(options) })
    if (Either.isLeft(child)) return resume(Effect.fail(child.left))
    child.right.on("error", (cause) => resume(Effect.fail(notStarted(options)(cause))))
    const group = attach(child.right)
    if (group !== undefined) child.right.once("spawn", () => resume(Effect.succeed(group)))
  })

// --- internal ---

const shell = "/bin/sh"

/** Longest wait, in milliseconds, for processes to end after SIGKILL; only a process stuck in the kernel takes long. */
const killWaitMs = 2_000
/** How long, in milliseconds, the streams are still read when a process that left the group holds them open. */
const drainMs = 200

/**
 * Descriptor 3 is the lifeline; descriptor 4 stays open as long as the watcher lives. The subshell ignores signals before
 * it forks the watcher. The shell that becomes the command does not, because the command would inherit that. The watcher
 * must not keep the command's streams open, and the command must not get 3 and 4. If the watcher cannot be forked, or
 * "up" cannot be written, the command does not start.
 */
const script = `
(
  trap '' HUP INT QUIT PIPE ALRM TERM USR1 USR2
  {
    while read -r order; do
      case $order in
        SIGTERM) kill -TERM 0 ;;
        SIGKILL) kill -KILL 0 ;;
      esac
    done
    kill -TERM 0
    PATH=/usr/bin:/bin:$PATH
    sleep "$1"
    kill -KILL 0
  } <&3 3<&- >&4 4>&- 2>&- &
) && echo up >&4 || exit 125
shift
exec 3<&- 4>&-
exec "$@"
`

const launch = (options: GroupOptions): ChildProcess =>
  spawn(shell, ["-c", script, "meerkat", (options.graceMs / 1000).toFixed(3), ...options.argv], {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ["pipe", "pipe", "pipe", "pipe", "pipe"]
  })

const notStarted = (options: GroupOptions) => (cause: unknown) => {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "UNKNOWN"
  const text = cause instanceof Error ? cause.message : String(cause)
  const detail = code === "ENOENT" ? `${options.cwd ?? "the working directory"} or ${shell} does not exist` : text
  return new CommandNotStarted({ program: options.argv[0] ?? "", code, detail })
}

interface Pipes {
  readonly stdin: Socket
  readonly stdout: Socket
  readonly stderr: Socket
  readonly lifeline: Socket
  readonly report: Socket
}

/** Undefined when the system had no descriptors left; the error event reports that. */
const pipesOf = (child: ChildProcess): Pipes | undefined => {
  const [stdin, stdout, stderr, lifeline, report] = (child.stdio ?? []).filter((pipe) => pipe instanceof Socket)
  return report === undefined || lifeline === undefined || stderr === undefined || stdout === undefined ||
      stdin === undefined
    ? undefined
    : { stdin, stdout, stderr, lifeline, report }
}

/** Adds every listener before the first event can be emitted. */
const attach = (child: ChildProcess): ProcessGroup | undefined => {
  const pipes = pipesOf(child)
  const pid = child.pid
  if (pipes === undefined || pid === undefined) return undefined
  const state: State = {
    pid,
    pipes,
    exited: Deferred.unsafeMake(FiberId.none),
    watcherGone: Deferred.unsafeMake(FiberId.none),
    drained: Deferred.unsafeMake(FiberId.none),
    isReaped: () => child.exitCode !== null || child.signalCode !== null
  }
  let guarded = false
  child.once("exit", (exitCode, signal) => settle(state.exited, { exitCode, signal }))
  // a broken pipe is no error here: the exit status says how the command ended
  Object.values(pipes).forEach((pipe: Socket) => pipe.on("error", () => {}))
  pipes.report.once("data", () => {
    guarded = true
  })
  pipes.report.once("close", () => {
    settle(state.watcherGone, undefined)
    // a command without its watcher is killed; by number only while the number certainly belongs to the command
    if (!state.isReaped()) killByNumber(pid, "SIGKILL")
  })
  onBothClosed(pipes, () => settle(state.drained, undefined))
  return {
    stdin: pipes.stdin,
    stdout: pipes.stdout,
    stderr: pipes.stderr,
    exited: Deferred.await(state.exited),
    wasGuarded: () => guarded,
    kill: () => signalGroup(state, "SIGKILL"),
    terminate: (graceMs) => terminate(state, graceMs)
  }
}

interface State {
  readonly pid: number
  readonly pipes: Pipes
  readonly exited: Deferred.Deferred<GroupExit>
  readonly watcherGone: Deferred.Deferred<void>
  readonly drained: Deferred.Deferred<void>
  readonly isReaped: () => boolean
}

type Signal = "SIGTERM" | "SIGKILL"

const settle = <A>(deferred: Deferred.Deferred<A>, value: A) => Deferred.unsafeDone(deferred, Effect.succeed(value))

const onBothClosed = ({ stderr, stdout }: Pipes, then: () => void) => {
  stdout.once("close", () => stderr.closed ? then() : undefined)
  stderr.once("close", () => stdout.closed ? then() : undefined)
}

/** Signals the group of this number. A failure is ignored: the group is empty, or holds only zombies. */
const killByNumber = (pid: number, signal: Signal) => {
  Either.try(() => process.kill(-pid, signal))
}

/**
 * Signals the group by number while the leader is a child that was not reaped: no other process can have its number then.
 * Afterwards it asks the watcher, which needs no number.
 */
const signalGroup = (state: State, signal: Signal) => {
  if (!state.isReaped()) killByNumber(state.pid, signal)
  else if (!state.pipes.lifeline.destroyed) state.pipes.lifeline.write(`${signal}\n`)
}

/** Whether only the watcher is left. If the system cannot count the members, closed streams count as the end. */
const isQuiet = (state: State): boolean =>
  state.isReaped() &&
  (countMembers(state.pid) ?? (state.pipes.stdout.closed && state.pipes.stderr.closed ? 1 : 2)) <= 1

const terminate = (state: State, graceMs: number): Effect.Effect<void> =>
  Effect.gen(function*() {
    const quiet = isQuiet(state)
    if (!quiet && graceMs > 0) {
      signalGroup(state, "SIGTERM")
      // no event reports the end of processes that the command started
      yield* within(Effect.zipRight(Deferred.await(state.exited), until(() => isQuiet(state))), graceMs)
    }
    signalGroup(state, "SIGKILL")
    const gone = Effect.zipRight(Deferred.await(state.watcherGone), Deferred.await(state.exited))
    if (!(yield* within(gone, killWaitMs))) {
      // the watcher does not react, perhaps it is stopped; while it holds its pipe the number still belongs to the group
      if (!state.pipes.report.closed) killByNumber(state.pid, "SIGKILL")
      yield* within(gone, killWaitMs)
    }
    // the processes end a little after the signal was sent
    if (!quiet) yield* within(until(() => (countMembers(state.pid) ?? 0) === 0), killWaitMs)
    yield* within(Deferred.await(state.drained), drainMs)
    Object.values(state.pipes).forEach((pipe: Socket) => pipe.destroy())
  })

/** Waits for an effect at most `limitMs` milliseconds, even in a fiber that cannot be interrupted. Returns whether it ended. */
const within = <A>(self: Effect.Effect<A>, limitMs: number): Effect.Effect<boolean> =>
  Effect.interruptible(self).pipe(
    Effect.timeoutTo({ duration: limitMs, onSuccess: () => true, onTimeout: () => false })
  )
