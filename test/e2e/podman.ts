import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { writeNodeFiles } from '../../src/cli/node-files.ts'
import { renderNodeConfig } from '../../src/node-config/render.ts'
import type { NodeSetup } from '../../src/node-config/setup.ts'
import { makeTempDir } from '../support/temp-dir.ts'
import type { Network } from './network.ts'
import { run } from './programs.ts'

/** Podman with storage and configuration of its own. */
export interface Podman extends AsyncDisposable {
  /** The folder below which its /etc is. */
  readonly root: string
  /** The image's digest as podman knows it. A credential is `user:password`. */
  pull(reference: string, credential?: string): Promise<string>
  /** `podman load` */
  load(archive: string): Promise<void>
  /** From a source such as `oci-archive:<file>:<name>`. @returns the image's ID */
  pullFrom(source: string): Promise<string>
  /** Of an image that is there, as podman knows it. */
  digest(reference: string): Promise<string>
  /** Writes the credential down for `registry`, if that answers its ping. */
  login(registry: string, credential: string): Promise<void>
  remove(reference: string): Promise<void>
}

/**
 * @param setup for which `node-config` makes its files; absent: they are written to `root` later
 * @param network where it runs; default: that of this process
 */
export async function preparePodman(setup?: NodeSetup, network?: Network): Promise<Podman> {
  const dir = await makeTempDir('larder-e2e-podman-')
  const at = (name: string) => join(dir.path, name)
  await mkdir(at('tmp'))
  if (setup !== undefined) {
    await writeNodeFiles(dir.path, renderNodeConfig('podman', setup).files, false)
  }
  await writeFile(at('auth.json'), '{}')
  await writeFile(at('policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}')
  // Neither the machine's registries.conf.d nor its storage, nor anybody's login.
  const env = {
    CONTAINERS_REGISTRIES_CONF: at('etc/containers/registries.conf.d/50-larder.conf'),
    CONTAINERS_CONF: '/dev/null',
    REGISTRY_AUTH_FILE: at('auth.json'),
    HOME: dir.path,
    TMPDIR: at('tmp'),
    XDG_RUNTIME_DIR: at('tmp'),
  }
  const store = ['--storage-driver=vfs', '--root', at('root'), '--runroot', at('run')]
  const podman = (...args: string[]) =>
    network === undefined
      ? run('podman', [...store, ...args], { env })
      : network.run('env', [...assignments(env), 'podman', ...store, ...args])
  const certificates = at('etc/containers/certs.d')
  return {
    root: dir.path,
    pull: async (reference, credential) => {
      const creds = credential === undefined ? [] : ['--creds', credential]
      const policy = ['--signature-policy', at('policy.json')]
      // It looks below /etc alone, unless it is told otherwise.
      const hosts = await readdir(certificates).catch(() => [])
      const trust = hosts.flatMap((host) => ['--cert-dir', join(certificates, host)])
      await podman('pull', '--quiet', ...policy, ...trust, ...creds, reference)
      return (await podman('image', 'inspect', '--format', '{{.Digest}}', reference)).trim()
    },
    load: async (archive) => {
      await podman('load', '--quiet', '--signature-policy', at('policy.json'), '--input', archive)
    },
    pullFrom: async (source) => {
      const policy = ['--signature-policy', at('policy.json')]
      return (await podman('pull', '--quiet', ...policy, source)).trim()
    },
    digest: async (reference) =>
      (await podman('image', 'inspect', '--format', '{{.Digest}}', reference)).trim(),
    login: async (registry, credential) => {
      const [username = '', password = ''] = credential.split(':')
      const user = ['--username', username, '--password', password, '--tls-verify=false']
      await podman('login', ...user, registry)
    },
    remove: async (reference) => void (await podman('rmi', '--force', reference)),
    [Symbol.asyncDispose]: dir.remove,
  }
}

function assignments(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env).map(([name, value]) => `${name}=${value}`)
}
