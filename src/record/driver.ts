/** Types commands into a recorded shell and waits for its own marks: for stories, drills and tests. No sleeping, no guessing by text. */
import { ReglazeError } from '../core/errors.ts'
import { RECORD } from './errors.ts'
import { MarkParser } from './marks.ts'
import { type LiveRecording, type RecordOptions, startRecording } from './recorder.ts'

export interface CommandResult {
  readonly command: string
  /** Null: the shell ended before it told. */
  readonly exitCode: number | null
  /** What the terminal showed from the start of the command to its end, marks left out. */
  readonly output: string
}
export interface Driver {
  readonly live: LiveRecording
  /** Resolves when the shell shows its first prompt. */
  ready(timeoutMs?: number): Promise<void>
  /** Types the command and resolves when its end mark came and the next prompt is there (or the shell ended). Throws DRIVER_TIMEOUT. */
  run(command: string, timeoutMs?: number): Promise<CommandResult>
  /** Types `exit` and waits for the closed recording. */
  exit(): ReturnType<typeof waitEnd>
}

/** Starts a recording of a marked shell and returns its driver. */
export function createDriver(options: Omit<RecordOptions, 'command' | 'args' | 'stdin'>): Driver {
  const feed: { push: (bytes: Uint8Array) => void } = { push: () => undefined }
  const early: Uint8Array[] = []
  feed.push = (bytes) => early.push(Uint8Array.from(bytes))
  const live = startRecording({ ...options, onFrame: (bytes) => { feed.push(bytes); options.onFrame?.(bytes) } })
  const made = driver(live)
  for (const bytes of early) made.feed(bytes)
  feed.push = made.feed
  return made
}

/** A driver for a recording that is started elsewhere; its output has to be handed to `feed` (onFrame). */
export function driver(live: LiveRecording): Driver & { feed(bytes: Uint8Array): void } {
  const marks = new MarkParser(live.nonce)
  const decoder = new TextDecoder()
  let first = false
  let finished = false
  let prompted = false
  let exitCode: number | null = null
  let output: string | null = null
  let ended = false
  const waiting = new Set<() => void>()
  const wake = () => waiting.forEach((check) => check())
  void live.done.catch(() => undefined).then(() => {
    ended = true
    wake()
  })

  const feed = (bytes: Uint8Array): void => {
    for (const piece of marks.push(bytes)) {
      if (piece.kind === 'bytes') {
        if (output !== null) output += decoder.decode(piece.bytes, { stream: true })
      } else if (piece.mark.mark === 'C') output = ''
      else if (piece.mark.mark === 'D') {
        exitCode = piece.mark.exitCode
        collected = output ?? ''
        output = null
        finished = true
      } else if (piece.mark.mark === 'B') {
        // bash shows the same prompt again after a resize: only one that follows an end mark ends a command.
        prompted = finished
        first = true
        wake()
      }
    }
  }
  let collected = ''
  const ready = (timeoutMs = 10_000) => until(waiting, 'the start of the shell', timeoutMs, () => first || ended)
  const run = async (command: string, timeoutMs = 60_000): Promise<CommandResult> => {
    await ready()
    const lines = command.replace(/\n+$/, '').split('\n')
    finished = prompted = false
    exitCode = null
    collected = ''
    live.write(lines.map((line) => `${line}\r`).join(''))
    // An end mark comes with the prompt that follows; a line that is not finished shows no prompt of its own kind.
    await until(waiting, `"${command}"`, timeoutMs, () => ended || prompted)
    if (!ended) return { command, exitCode, output: collected }
    const { exit } = await live.done
    return { command, exitCode: exitCode ?? exit.code, output: collected || (output ?? '') }
  }
  const exit = async () => {
    if (!ended) {
      await ready()
      live.write('exit\r')
    }
    return waitEnd(live)
  }
  return { live, ready, run, exit, feed }
}

/** Waits until `reached` holds; it is looked at each time the waiting are woken. Throws DRIVER_TIMEOUT. */
function until(waiting: Set<() => void>, what: string, timeoutMs: number, reached: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      waiting.delete(check)
      reject(new ReglazeError(RECORD.DRIVER_TIMEOUT, `${what} did not end within ${timeoutMs} ms`))
    }, timeoutMs)
    const check = () => {
      if (!reached()) return
      clearTimeout(timer)
      waiting.delete(check)
      resolve()
    }
    waiting.add(check)
    check()
  })
}

function waitEnd(live: LiveRecording): LiveRecording['done'] {
  return live.done
}
