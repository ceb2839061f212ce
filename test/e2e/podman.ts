import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { makeTempDir } from '../support/temp-dir.ts'
import { run } from './programs.ts'

/** Podman with storage and configuration of its own. */
export interface Podman extends AsyncDisposable {
  /** The image's digest as podman knows it. A credential is `user:password`. */
  pull(reference: string, credential?: string): Promise<string>
  /** Writes the credential down for `registry`, if that answers its ping. */
  login(registry: string, credential: string): Promise<void>
  remove(reference: string): Promise<void>
}

export interface PodmanOptions {
  /** Registry names, each with the `host:port/path` that is asked in its place. */
  readonly mirrors?: Readonly<Record<string, string>>
  /** `host:port` of registries that speak plain HTTP. */
  readonly insecure?: readonly string[]
}

export async function preparePodman(options: PodmanOptions = {}): Promise<Podman> {
  const dir = await makeTempDir('larder-e2e-podman-')
  const at = (name: string) => join(dir.path, name)
  await mkdir(at('tmp'))
  await writeFile(at('registries.conf'), registriesConf(options))
  await writeFile(at('auth.json'), '{}')
  await writeFile(at('policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}')
  // Neither the machine's registries.conf.d nor its storage, nor anybody's login.
  const env = {
    CONTAINERS_REGISTRIES_CONF: at('registries.conf'),
    CONTAINERS_CONF: '/dev/null',
    REGISTRY_AUTH_FILE: at('auth.json'),
    HOME: dir.path,
    TMPDIR: at('tmp'),
    XDG_RUNTIME_DIR: at('tmp'),
  }
  const store = ['--storage-driver=vfs', '--root', at('root'), '--runroot', at('run')]
  const podman = (...args: string[]) => run('podman', [...store, ...args], { env })
  return {
    pull: async (reference, credential) => {
      const creds = credential === undefined ? [] : ['--creds', credential]
      const policy = ['--signature-policy', at('policy.json')]
      await podman('pull', '--quiet', ...policy, ...creds, reference)
      return (await podman('image', 'inspect', '--format', '{{.Digest}}', reference)).trim()
    },
    login: async (registry, credential) => {
      const [username = '', password = ''] = credential.split(':')
      const user = ['--username', username, '--password', password, '--tls-verify=false']
      await podman('login', ...user, registry)
    },
    remove: async (reference) => void (await podman('rmi', '--force', reference)),
    [Symbol.asyncDispose]: dir.remove,
  }
}

function registriesConf({ mirrors = {}, insecure = [] }: PodmanOptions): string {
  // Behind the mirror is a closed port: a pull that leaves it must fail, not reach a network.
  const mirrored = Object.entries(mirrors).map(
    ([name, location]) => `
[[registry]]
prefix = "${name}"
location = "127.0.0.1:1"
insecure = true
[[registry.mirror]]
location = "${location}"
insecure = true
`,
  )
  const plain = insecure.map(
    (location) => `
[[registry]]
location = "${location}"
insecure = true
`,
  )
  return ['unqualified-search-registries = []\n', ...mirrored, ...plain].join('')
}
