import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { writeNodeFiles } from '../../src/cli/node-files.ts'
import { renderNodeConfig } from '../../src/node-config/render.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import { type Cri, connectCri } from './cri.ts'
import type { Network } from './network.ts'
import { nodeSetup } from './node-setup.ts'
import { Daemon, run } from './programs.ts'

/** A containerd of the test's own, beside any other on the machine. */
export interface Containerd extends AsyncDisposable {
  readonly cri: Cri
  /** The folder below which its /etc is. */
  readonly root: string
  /** Makes the Larder at `mirror` the only host of `registry`, with what `node-config` makes. */
  setMirror(registry: string, mirror: string): Promise<void>
  /** `ctr images pull`: downloads and unpacks. A credential is `user:password`. */
  pull(reference: string, credential?: string): Promise<void>
  /** `ctr images push` of a pulled image under another name. */
  push(local: string, reference: string, credential?: string): Promise<void>
  /** `ctr images export` */
  save(reference: string, archive: string): Promise<void>
  /** `ctr images import`, without unpacking. @returns the names of all images that are there then */
  load(archive: string, ...flags: readonly string[]): Promise<readonly string[]>
  /** Removes the image and whatever only it needed. */
  remove(reference: string): Promise<void>
  /** Digests in the content store of a namespace: `default` is ctr's, `k8s.io` the CRI's. */
  listContent(namespace: 'default' | 'k8s.io'): Promise<readonly string[]>
}

/** @param network where it is; default: that of this process */
export async function startContainerd(network?: Network): Promise<Containerd> {
  const dir = await makeTempDir('larder-e2e-containerd-')
  const at = (name: string) => join(dir.path, name)
  const hostsDir = at('etc/containerd/certs.d')
  await mkdir(hostsDir, { recursive: true })
  await writeFile(at('containerd.toml'), configOf(dir.path))
  const place: Pick<Network, 'run' | 'start'> = network ?? { run, start: Daemon.start }
  const daemon = await place.start('containerd', ['-c', at('containerd.toml')])
  const socket = at('containerd.sock')
  const ctr = (...args: string[]) => place.run('ctr', ['-a', socket, ...args])
  const cri = connectCri(socket)
  const stop = async () => {
    cri.close()
    await daemon.stop()
    await unmountBelow(dir.path)
    await dir.remove()
  }
  // It listens before its plugins are there; the CRI's come last.
  await daemon
    .ready(() => ctr('version'))
    .catch(async (error: unknown) => {
      await stop()
      throw error
    })
  await daemon.line(/containerd successfully booted/)
  return {
    cri,
    root: dir.path,
    setMirror: async (registry, mirror) => {
      const { files } = renderNodeConfig('containerd', nodeSetup(mirror, [registry]))
      await writeNodeFiles(dir.path, files, true)
    },
    push: async (local, reference, credential) => {
      const options = ['--hosts-dir', hostsDir, ...userFlag(credential)]
      await ctr('images', 'push', ...options, reference, local)
    },
    pull: async (reference, credential) => {
      const user = userFlag(credential)
      const options = ['--hosts-dir', hostsDir, '--snapshotter', 'native', ...user]
      await ctr('images', 'pull', ...options, reference)
    },
    save: async (reference, archive) => void (await ctr('images', 'export', archive, reference)),
    load: async (archive, ...flags) => {
      await ctr('images', 'import', '--no-unpack', ...flags, archive)
      return (await ctr('images', 'ls', '-q')).trim().split('\n').sort()
    },
    remove: async (reference) => void (await ctr('images', 'rm', '--sync', reference)),
    listContent: async (namespace) =>
      (await ctr('-n', namespace, 'content', 'ls', '-q')).split('\n').filter((line) => line !== ''),
    [Symbol.asyncDispose]: stop,
  }
}

function userFlag(credential: string | undefined): string[] {
  return credential === undefined ? [] : ['--user', credential]
}

/** Nothing but what pulling needs: no network plugin, no sandbox, no other's sockets. */
function configOf(dir: string): string {
  return `
version = 2
root = "${dir}/root"
state = "${dir}/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "${dir}/containerd.sock"
[ttrpc]
  address = "${dir}/ttrpc.sock"
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${dir}/cni-bin"
    conf_dir = "${dir}/cni"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "${dir}/etc/containerd/certs.d"
`
}

/** What a runtime that was stopped in the middle of unpacking left mounted. */
async function unmountBelow(dir: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n')
  const points = mounts.map((line) => line.split(' ')[1] ?? '')
  const below = points.filter((point) => point.startsWith(`${dir}/`)).toReversed()
  for (const point of below) await run('umount', [point])
}
