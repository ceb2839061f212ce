import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

import { Command, Option } from 'commander'

import { completionPoints } from '../../src/cli/completion-model.ts'
import { bashScript, fishScript, zshScript } from '../../src/cli/completion-scripts.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { larder } from './admin.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const

async function scriptOf(shell: string): Promise<string> {
  const { code, stdout, stderr } = await larder(['completion', shell])
  assert.equal(code, 0, stderr)
  return stdout
}

/** What bash offers when Tab is pressed behind these words; the last is what is being written. */
async function offeredBy(script: string, words: readonly string[]): Promise<readonly string[]> {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'larder.bash')
  await writeFile(file, script)
  const program = `set -u
    source "$1"; shift
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _larder
    printf '%s\\n' "\${COMPREPLY[@]}"`
  const args = ['--norc', '-c', program, 'bash', file, 'larder', ...words]
  const { stdout } = await promisify(execFile)('bash', args)
  return stdout.split('\n').filter((line) => line !== '')
}

function has(shell: string): boolean {
  try {
    execFileSync(shell, ['-c', ':'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

test('bash completes commands, options and the values that an option may have', async () => {
  const script = await scriptOf('bash')
  const { stdout } = await larder(['--help'])
  const commands = [...stdout.matchAll(/^ {2}([a-z-]+) .*$/gm)].map(([, name]) => name)
  const offered = await offeredBy(script, [''])
  for (const name of ['serve', 'ls', 'inspect', 'stats', 'completion', 'preload']) {
    assert.ok(offered.includes(name), name)
    assert.ok(commands.includes(name), name)
  }
  for (const [words, expected] of [
    [['l'], ['ls']],
    [['ls', '--so'], ['--sort']],
    [
      ['ls', '--sort', ''],
      ['size', 'last-use', 'pulls', 'name'],
    ],
    [['ls', '--sort', 's'], ['size']],
    [['ls', '--sort', 'size', '--li'], ['--limit']],
    [
      ['config', ''],
      ['check', 'print', 'schema'],
    ],
    [['config', 'print', '--or'], ['--origin']],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    // A file, which bash knows best.
    [['serve', '-c', ''], []],
    [['preload', ''], []],
    // The value of an option is no command.
    [['upstreams', '-c', 'test', '--out'], ['--output']],
    [['nonsense', 'l'], ['ls']],
  ] as const) {
    assert.deepEqual(await offeredBy(script, words), expected, words.join(' '))
  }
})

test('it follows the commands themselves: a new one is completed without a word here', async () => {
  const program = new Command('larder')
  const odd = new Command("it's").description("what's: `new` $HOME \\ here")
  odd.addOption(new Option('-s, --shape <shape>').choices(['round', "o'clock"]))
  odd.addOption(new Option('--secret').hideHelp())
  program.addCommand(odd)
  const points = completionPoints(program)
  assert.deepEqual(
    points.map(({ at }) => at),
    ['', " it's"],
  )
  const flags = points[1]?.options.flatMap((option) => option.flags)
  assert.deepEqual(flags, ['-s', '--shape', '-h', '--help'])
  const bash = bashScript(points)
  assert.deepEqual(await offeredBy(bash, ["it's", '--']), ['--shape', '--help'])
  assert.ok(zshScript(points).includes(`'it'\\''s:what'\\''s: \`new\` $HOME \\ here'`))
  assert.ok(fishScript(points).includes(`-d 'what\\'s: \`new\` $HOME \\\\ here'`))
})

test('every command and option is in each of the scripts', async () => {
  const scripts = new Map<string, string>()
  for (const shell of SHELLS) scripts.set(shell, await scriptOf(shell))
  for (const [shell, script] of scripts) {
    for (const word of ['node-config', 'unused-for', 'data-dir', 'last-use', 'healthcheck']) {
      assert.ok(script.includes(word), `${shell}: ${word}`)
    }
  }
  assert.match(scripts.get('zsh') ?? '', /^#compdef larder\n/)
  assert.match(scripts.get('fish') ?? '', /^complete -c larder -n /m)
})

for (const shell of SHELLS) {
  const skip = has(shell) ? false : `there is no ${shell} here`
  test(`the script for ${shell} is one that it can read`, { skip }, async () => {
    await using dir = await makeTempDir()
    const file = join(dir.path, 'script')
    await writeFile(file, await scriptOf(shell))
    await promisify(execFile)(shell, ['-n', file])
  })
}

test('another shell is a usage error', async () => {
  const { code, stderr } = await larder(['completion', 'csh'])
  assert.equal(code, 2)
  assert.match(stderr, /bash, zsh, fish/)
})
