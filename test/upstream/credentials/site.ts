import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { CredentialConfig } from '../../../src/config/config.ts'
import { parseRepository, type Repository } from '../../../src/oci/reference.ts'
import type { Credential } from '../../../src/upstream/credentials/credential.ts'
import { Problems } from '../../../src/upstream/credentials/problems.ts'
import {
  type CredentialSources,
  createSources,
  type ProgramSettings,
} from '../../../src/upstream/credentials/sources.ts'

/** What scripts need to find `cat` and the like. */
const SYSTEM_PATH = '/usr/local/bin:/usr/bin:/bin'

export interface Site {
  readonly sources: CredentialSources
  /** Both times; move it as needed. */
  readonly clock: { time: number; now(): number; elapsed(): number }
  /** What was complained of, each once. */
  readonly problems: string[]
  /** What was said of expiry. */
  readonly expiries: (number | undefined)[]
  /** `username:password[:token]` of all that are found for an image. */
  find(image: string, from?: 'own' | 'byHost'): Promise<readonly string[]>
  credentials(image: string): Promise<readonly Credential[]>
}

export function build(
  configs: readonly CredentialConfig[],
  programs: Partial<ProgramSettings> = {},
): Site {
  const clock = { time: 1_800_000_000_000, now: () => clock.time, elapsed: () => clock.time }
  const problems: string[] = []
  const expiries: (number | undefined)[] = []
  const sources = createSources(configs, {
    clock,
    problems: new Problems((problem) => problems.push(problem)),
    programs: { environment: programsIn(), ...programs },
    onExpiry: (at) => expiries.push(at),
  })
  const credentials = async (image: string, from: 'own' | 'byHost' = 'own') => {
    const slash = image.indexOf('/')
    if (slash < 0) return await sources[from].find(image, '' as Repository)
    const repository = parseRepository(image.slice(slash + 1))
    return await sources[from].find(image.slice(0, slash), repository)
  }
  const find = async (image: string, from: 'own' | 'byHost' = 'own') => {
    return (await credentials(image, from)).map(show)
  }
  return { sources, clock, problems, expiries, find, credentials }
}

function show({ username, password, identityToken }: Credential): string {
  return [username, password, ...(identityToken === undefined ? [] : [identityToken])].join(':')
}

/** The environment of programs, with `folders` before the system's own. */
export function programsIn(...folders: readonly string[]) {
  return { path: [...folders, SYSTEM_PATH].join(':'), home: '/nonexistent' }
}

/** A script that counts its runs, keeps what it is sent, and prints what it is told. */
export class FakeProgram {
  readonly file: string

  private constructor(file: string) {
    this.file = file
  }

  /** @param body lines of sh, instead of printing the answer */
  static async write(folder: string, name: string, body = 'cat "$0.answer"'): Promise<FakeProgram> {
    const program = new FakeProgram(join(folder, name))
    const record = [
      'echo run >> "$0.runs"',
      'cat > "$0.input"',
      'env > "$0.env"',
      'echo "$0 $*" > "$0.args"',
    ]
    await writeFile(program.file, ['#!/bin/sh', ...record, body, ''].join('\n'))
    await chmod(program.file, 0o755)
    await program.answer('')
    return program
  }

  async answer(text: string | object): Promise<void> {
    await writeFile(`${this.file}.answer`, typeof text === 'string' ? text : JSON.stringify(text))
  }

  async runs(): Promise<number> {
    return (await this.read('runs')).split('\n').filter((line) => line !== '').length
  }

  /** What it was given, as of its last run. */
  async read(what: 'runs' | 'input' | 'env' | 'args'): Promise<string> {
    return await readFile(`${this.file}.${what}`, 'utf8').catch(() => '')
  }
}

/** base64, as docker configurations have it. */
export function auth(text: string): string {
  return Buffer.from(text).toString('base64')
}

/** A JSON Web Token that nobody signed. */
export function jwt(claims: object): string {
  const parts = [{ alg: 'none' }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url'),
  )
  return [...parts, 'signature'].join('.')
}
