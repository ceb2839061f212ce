import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { type IncomingMessage, request } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

import { makeTempDir } from '../support/temp-dir.ts'
import type { LinkedNetwork } from './network.ts'
import { Daemon } from './programs.ts'

/** A Docker Engine with a storage and an /etc/docker of its own. */
export interface Docker extends AsyncDisposable {
  /** Pulls as `docker pull` does. Throws with what the engine says. */
  pull(reference: string): Promise<void>
  /** `docker save` */
  save(references: readonly string[], archive: string): Promise<void>
  /** Of an image that is there: `<name>@<digest>` for each name that it was pulled by. */
  digests(reference: string): Promise<readonly string[]>
}

export interface DockerOptions {
  /** Where it runs. */
  readonly network: LinkedNetwork
  /** The folder below which its /etc/docker is. */
  readonly root: string
  /** Lines of its /etc/hosts. */
  readonly hosts: string
}

/** What is read below /etc alone is ours in a mount namespace; nobody is asked for names. */
const START = [
  'mount --bind "$1/etc/docker" /etc/docker',
  'mount --bind "$1/hosts" /etc/hosts',
  '{ [ ! -e /etc/resolv.conf ] || mount --bind /dev/null /etc/resolv.conf; }',
  'shift && exec dockerd "$@"',
].join(' && ')

export async function startDocker({ network, root, hosts }: DockerOptions): Promise<Docker> {
  const dir = await makeTempDir('larder-e2e-docker-')
  const at = (name: string) => join(dir.path, name)
  await mkdir(join(root, 'etc/docker'), { recursive: true })
  await writeFile(join(root, 'hosts'), hosts)
  const socket = at('docker.sock')
  // Nothing but what pulling needs: the network is not the engine's to change.
  const flags = [
    ...['--data-root', at('data'), '--exec-root', at('exec'), '--pidfile', at('pid')],
    ...['--host', `unix://${socket}`, '--storage-driver', 'vfs', '--bridge', 'none'],
    ...['--iptables=false', '--ip6tables=false'],
  ]
  // It starts a containerd, which ends with it: the first process of its namespace.
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  const daemon = await Daemon.start('nsenter', [
    `--net=/run/netns/${network.name}`,
    ...['unshare', ...namespaces, 'sh', '-c', START, 'sh', root, ...flags],
  ])
  const stop = async () => {
    await daemon.kill()
    await dir.remove()
  }
  await daemon
    .ready(() => ask(socket, 'GET', '/_ping'))
    .catch(async (error: unknown) => {
      await stop()
      throw error
    })
  return {
    pull: async (reference) => {
      const [name, tag] = splitOf(reference)
      const query = new URLSearchParams({ fromImage: name, tag })
      const told = await ask(socket, 'POST', `/images/create?${query}`)
      // Having begun with 200, it says so in the last line.
      if (told.includes('"errorDetail"')) throw new Error(told)
    },
    save: async (references, archive) => {
      const query = new URLSearchParams(references.map((name) => ['names', name]))
      await writeFile(archive, await begin(socket, 'GET', `/images/get?${query}`))
    },
    digests: async (reference) => {
      const found = JSON.parse(await ask(socket, 'GET', `/images/${reference}/json`))
      return (found as { RepoDigests: readonly string[] }).RepoDigests
    },
    [Symbol.asyncDispose]: stop,
  }
}

/** A name, and what stands behind it: without that the engine would take every tag. */
function splitOf(reference: string): readonly [string, string] {
  const at = reference.includes('@') ? reference.indexOf('@') : reference.lastIndexOf(':')
  return [reference.slice(0, at), reference.slice(at + 1)]
}

async function ask(socketPath: string, method: string, path: string): Promise<string> {
  return await text(await begin(socketPath, method, path))
}

/** Throws unless the answer begins with 200. */
async function begin(socketPath: string, method: string, path: string): Promise<IncomingMessage> {
  const outgoing = request({ socketPath, method, path, headers: { host: 'docker' } }).end()
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  if (response.statusCode === 200) return response
  throw new Error(`${method} ${path}: ${response.statusCode} ${await text(response)}`)
}
