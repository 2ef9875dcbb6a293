/** The file-based door of record/: works on recording files, without a server (DESIGN §2). */
import * as fs from 'node:fs'
import { ReglazeError } from '../core/errors.ts'
import { asciicast, joinAll, type CastOptions } from './asciicast.ts'
import { CommandList } from './commands.ts'
import { RECORD } from './errors.ts'
import { MarkParser } from './marks.ts'
import { type Frame, FrameReader, type RecordedCommand, type RecordingExit, type RecordingHeader, type Verification } from './model.ts'
import { stillRuns } from './processes.ts'
import { runbookText } from './runbook.ts'
import { FrameWriter, sha256 } from './writer.ts'

export { record, startRecording, type LiveRecording, type Recorded, type RecordOptions } from './recorder.ts'
export { createDriver, driver, type CommandResult, type Driver } from './driver.ts'

const PIECE = 1 << 20

/** Reads the frames of a file and checks the chain on the way; `reader` tells afterwards what it found. */
export function* frames(file: string, reader: FrameReader = new FrameReader(sha256)): Generator<Frame> {
  const fd = fs.openSync(file, 'r')
  try {
    const piece = Buffer.alloc(PIECE)
    for (;;) {
      const n = fs.readSync(fd, piece, 0, PIECE, null)
      if (n === 0) return
      yield* reader.push(piece.subarray(0, n))
      if (reader.bad) return
    }
  } finally {
    fs.closeSync(fd)
  }
}

/**
 * Recomputes the whole chain from the stored bytes. `head` (hex, from the ledger or another copy) also proves that no
 * end was cut off, which a chain alone cannot.
 */
export function verify(file: string, expected: { head?: string } = {}): Verification {
  const reader = new FrameReader(sha256)
  let header: RecordingHeader | null = null
  let exit: RecordingExit | null = null
  let gaps = 0
  for (const frame of frames(file, reader)) {
    if (frame.type === 'h') header = json<RecordingHeader>(frame)
    if (frame.type === 'x') exit = json<RecordingExit>(frame)
    if (frame.type === 'g') gaps += 1
  }
  const head = Buffer.from(reader.head).toString('hex')
  let bad = reader.bad
  if (!bad && expected.head !== undefined && expected.head !== head) bad = { offset: reader.offset, frame: reader.frames, why: 'the file ends elsewhere than the expected hash says' }
  if (!bad && exit && reader.torn > 0) bad = { offset: reader.offset, frame: reader.frames, why: 'there are bytes after the exit frame' }
  if (!bad && reader.frames === 0) bad = { offset: 0, frame: 0, why: 'there is no header' }
  const state = bad ? 'broken' : !exit ? 'interrupted' : gaps > 0 || exit.lost > 0 || exit.reason === 'interrupted' ? 'partial' : 'complete'
  return {
    ok: !bad, state, reason: bad?.why ?? exit?.reason ?? null, frames: reader.frames, bytes: reader.offset, head, bad,
    torn: reader.torn, header, exit,
  }
}

/** Exactly the recorded output, piece by piece. Throws RECORDING_BROKEN at the first bad place. */
export function* replay(file: string): Generator<Uint8Array> {
  const reader = new FrameReader(sha256)
  for (const frame of frames(file, reader)) if (frame.type === 'o') yield frame.payload
  refuseBroken(file, reader)
}
export function replayBytes(file: string): Uint8Array {
  return joinAll([...replay(file)])
}
/** The output without the shell's marks, as text for people; escape sequences are still in it. */
export function shownText(file: string): string {
  const marks = new MarkParser(headerOf(file).nonce)
  const decoder = new TextDecoder()
  let text = ''
  for (const bytes of replay(file)) for (const piece of marks.push(bytes)) if (piece.kind === 'bytes') text += decoder.decode(piece.bytes, { stream: true })
  for (const piece of marks.end()) if (piece.kind === 'bytes') text += decoder.decode(piece.bytes, { stream: true })
  return text + decoder.decode()
}

export function headerOf(file: string): RecordingHeader {
  for (const frame of frames(file)) return json<RecordingHeader>(frame)
  throw new ReglazeError(RECORD.RECORDING_BROKEN, `${file} is not a recording`, { place: file })
}

/** asciicast v2 or v3, line by line. */
export function* cast(file: string, options: CastOptions): Generator<string> {
  const reader = new FrameReader(sha256)
  yield* asciicast(headerOf(file), frames(file, reader), options)
  refuseBroken(file, reader)
}

/** The commands that the shell marked, in order. Empty for programs without marks: that is not a proof of anything. */
export function commands(file: string): RecordedCommand[] {
  const reader = new FrameReader(sha256)
  let list: CommandList | null = null
  for (const frame of frames(file, reader)) {
    if (frame.type === 'h') list = new CommandList(json<RecordingHeader>(frame).nonce)
    else list?.frame(frame)
  }
  refuseBroken(file, reader)
  return list?.end(reader.lastAt) ?? []
}

/** A markdown draft of a runbook from the commands, secrets masked. */
export function runbook(file: string): string {
  return runbookText(headerOf(file), commands(file), verify(file))
}

/**
 * Closes a recording whose recorder died: cuts a torn frame off and adds the missing end, with the reason. A file that
 * has its end already stays as it is. Throws RECORDING_LIVE while the recorder runs, RECORDING_BROKEN for a broken chain.
 */
export async function closeInterrupted(file: string, why = 'the recorder died'): Promise<Verification> {
  const reader = new FrameReader(sha256)
  let header: RecordingHeader | null = null
  for (const frame of frames(file, reader)) if (frame.type === 'h') header = json<RecordingHeader>(frame)
  const torn = reader.torn
  if (reader.ended && !reader.bad) return verify(file)
  if (reader.bad || !header) throw broken(file, reader)
  if (stillRuns(header.recorder.pid, header.recorder.startTicks)) {
    throw new ReglazeError(RECORD.RECORDING_LIVE, `the recorder of ${file} still runs (process ${header.recorder.pid})`, { place: file })
  }
  const fd = fs.openSync(file, 'r+')
  fs.ftruncateSync(fd, reader.offset)
  // The clock goes on from the last frame: how long the terminal was silent before the recorder died, nobody knows.
  const start = process.hrtime.bigint() - BigInt(reader.lastAt)
  const fail = { onTrouble: (e: Error) => { throw e }, onRecovered: () => undefined }
  const writer = new FrameWriter(fd, file, start, fail, { head: reader.head, size: reader.offset, frames: reader.frames, lastAt: reader.lastAt })
  const wall = new Date().toISOString()
  const exit: RecordingExit = { code: null, reason: 'interrupted', detail: torn > 0 ? `${why}; ${torn} bytes of an unfinished frame were cut off` : why, wall, lost: 0 }
  writer.releaseReserve()
  writer.frame('x', JSON.stringify(exit))
  await writer.close()
  return verify(file)
}

function json<T>(frame: Frame): T {
  return JSON.parse(Buffer.from(frame.payload).toString()) as T
}
function refuseBroken(file: string, reader: FrameReader): void {
  if (reader.bad) throw broken(file, reader)
}
function broken(file: string, reader: FrameReader): ReglazeError {
  const { offset, frame, why } = reader.bad ?? { offset: 0, frame: 0, why: 'there is no header' }
  return new ReglazeError(RECORD.RECORDING_BROKEN, `frame ${frame} at byte ${offset}: ${why}`, { place: `${file}:${offset}` })
}
