import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { parse } from 'yaml'

import { checkConfig } from '../../src/cli/config.ts'
import type { Config } from '../../src/config/config.ts'
import { loadConfig } from '../../src/config/load.ts'
import { makeTempDir } from '../support/temp-dir.ts'

export const ROOT = join(import.meta.dirname, '../..')

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string }
  readonly periodSeconds: number
  readonly failureThreshold: number
}

interface Container {
  readonly image: string
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[]
  readonly startupProbe: Probe
  readonly livenessProbe: Probe
  readonly readinessProbe: Probe
  readonly resources: {
    readonly requests: Readonly<Record<string, string>>
    readonly limits: Readonly<Record<string, string>>
  }
  readonly securityContext: unknown
  readonly volumeMounts: readonly {
    readonly name: string
    readonly mountPath: string
    readonly readOnly?: boolean
    readonly subPath?: string
  }[]
}

export interface StatefulSet {
  readonly spec: {
    readonly replicas: number
    readonly serviceName: string
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> }
      readonly spec: {
        readonly automountServiceAccountToken: boolean
        readonly enableServiceLinks: boolean
        readonly terminationGracePeriodSeconds: number
        readonly securityContext: unknown
        readonly containers: readonly Container[]
      }
    }
    readonly volumeClaimTemplates: readonly {
      readonly metadata: { readonly name: string }
      readonly spec: { readonly accessModes: readonly string[] }
    }[]
  }
}

export interface NetworkPolicy {
  readonly spec: {
    readonly policyTypes: readonly string[]
    readonly ingress: readonly {
      readonly ports: readonly { readonly port: string }[]
      readonly from?: readonly unknown[]
    }[]
    readonly egress: readonly {
      readonly ports: readonly { readonly port: number | string }[]
      readonly to?: readonly {
        readonly ipBlock: { readonly cidr: string; readonly except: readonly string[] }
      }[]
    }[]
  }
}

/** The container, once it and its pod are as an image without privileges can be run. */
export async function hardenedContainer(set: StatefulSet): Promise<Container> {
  const { spec } = set.spec.template
  const [uid, gid] = await imageUser()
  assert.equal(spec.automountServiceAccountToken, false)
  assert.equal(spec.enableServiceLinks, false)
  assert.deepEqual(spec.securityContext, {
    runAsNonRoot: true,
    runAsUser: uid,
    runAsGroup: gid,
    fsGroup: gid,
    fsGroupChangePolicy: 'OnRootMismatch',
    seccompProfile: { type: 'RuntimeDefault' },
  })
  const [container, ...others] = spec.containers
  assert.ok(container !== undefined && others.length === 0)
  assert.deepEqual(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  })
  return container
}

/** One process per data directory, on a volume that stays; everything else cannot be written. */
export function assertOneWriter(set: StatefulSet, { storage }: Config): void {
  assert.equal(set.spec.replicas, 1)
  const [claim] = set.spec.volumeClaimTemplates
  assert.equal(claim?.metadata.name, 'data')
  const mounts = set.spec.template.spec.containers[0]?.volumeMounts ?? []
  const writable = mounts.filter(({ readOnly }) => readOnly !== true)
  assert.deepEqual(writable, [{ name: 'data', mountPath: storage.path }])
  // A file by itself is not exchanged when its ConfigMap or Secret is.
  for (const { subPath, name } of mounts) assert.equal(subPath, undefined, name)
  const config = mounts.find(({ name }) => name === 'config')
  assert.deepEqual(config, { name: 'config', mountPath: '/etc/larder', readOnly: true })
}

export function assertProbed(
  { ports, startupProbe, livenessProbe, readinessProbe }: Container,
  { server }: Config,
): void {
  assert.deepEqual(
    ports.map(({ name, containerPort }) => [name, containerPort]),
    [
      ['registry', server.listen.port],
      ['admin', server.adminListen.port],
    ],
  )
  assert.deepEqual(startupProbe.httpGet, { path: '/livez', port: 'admin' })
  assert.deepEqual(livenessProbe.httpGet, { path: '/livez', port: 'admin' })
  assert.deepEqual(readinessProbe.httpGet, { path: '/readyz', port: 'admin' })
  assert.ok(startupProbe.periodSeconds * startupProbe.failureThreshold >= 60)
}

/** Nodes may pull, operators look, and Larder reaches registries and no metadata service. */
export function assertFenced({ spec }: NetworkPolicy): void {
  assert.deepEqual(spec.policyTypes, ['Ingress', 'Egress'])
  assert.deepEqual(
    spec.ingress.map(({ ports }) => ports.map(({ port }) => port)),
    [['registry'], ['admin']],
  )
  const [dns, registries, ...others] = spec.egress
  assert.deepEqual(others, [])
  assert.ok(dns?.ports.every(({ port }) => port === 53))
  const except = registries?.to?.map(({ ipBlock }) => [ipBlock.cidr, ipBlock.except])
  assert.deepEqual(except, [
    ['0.0.0.0/0', ['169.254.0.0/16', '100.100.100.200/32']],
    ['::/0', ['fe80::/10', 'fd00:ec2::254/128']],
  ])
}

/** What `larder config check` accepts of a ConfigMap's text, which has to listen for others. */
export async function checkedConfig(text: string): Promise<Config> {
  await using dir = await makeTempDir()
  const file = join(dir.path, 'larder.yaml')
  await writeFile(file, text)
  const lines: string[] = []
  const stream = { write: (line: string) => lines.push(line) }
  await checkConfig(file, { env: {}, cwd: dir.path, stdout: stream, stderr: stream })
  assert.equal(lines.at(-1), `${file}: ok\n`)
  const { config } = await loadConfig({ file, env: {}, cwd: dir.path })
  assert.equal(config.server.listen.host, '0.0.0.0')
  assert.equal(config.server.adminListen.host, '0.0.0.0')
  return config
}

/** Seconds between the end of the drain and a SIGKILL: for what is cut, and the last writes. */
export function assertTimeToDrain(graceSeconds: number, { server }: Config): void {
  assert.ok(graceSeconds * 1000 >= server.drainTimeoutMs + 10_000, `${graceSeconds} s`)
}

export async function readText(file: string): Promise<string> {
  return await readFile(join(ROOT, file), 'utf8')
}

export async function readYaml(file: string): Promise<unknown> {
  return parse(await readText(file))
}

export async function packageVersion(): Promise<string> {
  return (JSON.parse(await readText('package.json')) as { readonly version: string }).version
}

async function imageUser(): Promise<readonly number[]> {
  const [, user = ''] = /^USER (.+)$/m.exec(await readText('Dockerfile')) ?? []
  return user.split(':').map(Number)
}
