import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'

import { Daemon, run } from './programs.ts'

/** A network namespace of the test's own: what happens in it happens to nobody else. */
export interface Network extends AsyncDisposable {
  /** As `ip netns` knows it. */
  readonly name: string
  /** Runs a program in it to its end. */
  run(command: string, args: readonly string[]): Promise<string>
  /** Starts a program in it. */
  start(command: string, args: readonly string[]): Promise<Daemon>
}

/** One with a cable to the outside. */
export interface LinkedNetwork extends Network {
  /** What runs in it is reached here from outside. */
  readonly address: string
  /** The outside, as it is reached from within. */
  readonly gateway: string
  cut(how: Cut): Promise<void>
  mend(): Promise<void>
  /** What has come out of it since the start, of any protocol. */
  sent(): Promise<{ readonly packets: number; readonly bytes: number }>
}

/** `firewalled`: packets vanish in both directions; `unplugged`: there is no link. */
export type Cut = 'firewalled' | 'unplugged'

const FIREWALL = `
add table inet cut
add chain inet cut in { type filter hook input priority 0 ; policy drop ; }
add chain inet cut out { type filter hook output priority 0 ; policy drop ; }
add rule inet cut in iif lo accept
add rule inet cut out oif lo accept
`

/** One with nothing but its loopback: an air gap. */
export async function createNetwork(): Promise<Network> {
  return create(nameOf(randomBytes(4)))
}

/** Its default route leads to nobody: whatever is not meant for the gateway is still counted. */
export async function createLinkedNetwork(): Promise<LinkedNetwork> {
  const id = randomBytes(4)
  const name = nameOf(id)
  const network = await create(name)
  const [gateway, address, nobody] = addressesOf(id)
  const inside = (...args: string[]) => run('ip', ['-n', name, ...args])
  const plug = async () => {
    await inside('link', 'set', 'eth0', 'up')
    await inside('route', 'add', 'default', 'via', nobody)
  }
  try {
    // Without addresses of their own making the ends are silent: every packet is somebody's.
    const end = ['type', 'veth', 'peer', 'name', 'eth0', 'netns', name]
    await run('ip', ['link', 'add', name, ...end])
    await run('ip', ['link', 'set', name, 'addrgenmode', 'none'])
    await inside('link', 'set', 'eth0', 'addrgenmode', 'none')
    await run('ip', ['address', 'add', `${gateway}/29`, 'dev', name])
    await run('ip', ['link', 'set', name, 'up'])
    await inside('address', 'add', `${address}/29`, 'dev', 'eth0')
    await plug()
  } catch (error) {
    await network[Symbol.asyncDispose]()
    throw error
  }
  let mend: () => Promise<unknown> = async () => undefined
  return {
    ...network,
    address,
    gateway,
    cut: async (how) => {
      const rules = (text: string) => network.run('nft', [text])
      mend = how === 'unplugged' ? plug : () => rules('delete table inet cut')
      if (how === 'firewalled') await rules(FIREWALL)
      // Not the end outside: without that, packets for this network would take another way.
      else await inside('link', 'set', 'eth0', 'down')
    },
    mend: async () => void (await mend()),
    sent: async () => {
      const [{ stats64 }] = JSON.parse(await inside('-s', '-j', 'link', 'show', 'eth0')) as [
        { stats64: { tx: { packets: number; bytes: number } } },
      ]
      return stats64.tx
    },
  }
}

async function create(name: string): Promise<Network> {
  await run('ip', ['netns', 'add', name])
  const removeAtExit = () => spawnSync('ip', ['netns', 'delete', name])
  process.once('exit', removeAtExit)
  const network = {
    name,
    // Without a shell or a fork: the process that is started is the program itself.
    run: (command: string, args: readonly string[]) =>
      run('ip', ['netns', 'exec', name, command, ...args]),
    start: (command: string, args: readonly string[]) =>
      Daemon.start('ip', ['netns', 'exec', name, command, ...args]),
    [Symbol.asyncDispose]: async () => {
      process.off('exit', removeAtExit)
      await run('ip', ['netns', 'delete', name])
    },
  }
  await run('ip', ['-n', name, 'link', 'set', 'lo', 'up'])
  return network
}

/** At most 15 characters, for it is also the name of an interface. */
function nameOf(id: Buffer): string {
  return `larder${id.toString('hex')}`
}

/** Three neighbours in 198.18.0.0/15, which no network uses but for tests (RFC 2544). */
function addressesOf(id: Buffer): readonly [string, string, string] {
  const [second = 0, third = 0, fourth = 0] = id
  const at = (host: number) => `198.${18 + (second & 1)}.${third}.${(fourth & 0xf8) + host}`
  return [at(1), at(2), at(3)]
}
