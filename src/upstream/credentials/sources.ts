import type { CredentialConfig } from '../../config/config.ts'
import type { Repository } from '../../oci/reference.ts'
import type { Clock } from '../clock.ts'
import { type Credential, CredentialFactory, type CredentialSource } from './credential.ts'
import { DockerConfigSource } from './docker-config-source.ts'
import { DockerHelpers } from './docker-helpers.ts'
import { Expiries } from './expiries.ts'
import { KubeletSource } from './kubelet-source.ts'
import { PasswordSource } from './password.ts'
import type { Problems } from './problems.ts'
import { type ProgramEnvironment, Programs } from './programs.ts'
import { SourceList } from './source-list.ts'

/** For running plugins and helpers. */
export interface ProgramSettings {
  readonly environment: ProgramEnvironment
  /** Milliseconds; the kubelet's minute unless a test says otherwise. */
  readonly pluginTimeoutMs?: number
  /** Milliseconds; 30 seconds unless a test says otherwise. */
  readonly helperTimeoutMs?: number
}

export interface SourcesContext {
  readonly clock: Clock
  readonly problems: Problems
  readonly programs: ProgramSettings
  /** Told when the credential that expires first is another; epoch milliseconds. */
  readonly onExpiry: (at: number | undefined) => void
}

/** What is asked of credentials, whatever they come from. */
export type Credentials = Pick<CredentialSource, 'find' | 'invalidate'>

/** The sources of one upstream. */
export interface CredentialSources {
  /** For the registry that the upstream is. */
  readonly own: Credentials
  /** For its mirrors: only what a source names by their host. A password belongs to the registry. */
  readonly byHost: Credentials
  /** How many are configured. */
  readonly count: number
  /** Ends programs that still run. */
  close(): void
}

/** Builds them in the order of the configuration, those with longer paths first. */
export function createSources(
  configs: readonly CredentialConfig[],
  context: SourcesContext,
): CredentialSources {
  const { clock, problems, onExpiry } = context
  const programs = new Programs(context.programs.environment)
  const create = createFactory(context, programs)
  const sorted = [...configs].sort((a, b) => pathLength(b) - pathLength(a))
  const all = sorted.map((config) => ({ config, source: create(config) }))
  const named = all.filter(({ config }) => config.kind !== 'password')
  const expiries = new Expiries(clock, onExpiry)
  const list = (chosen: typeof all): Credentials => {
    const sources = new SourceList(
      chosen.map(({ source }) => source),
      problems,
    )
    return {
      async find(host: string, repository: Repository) {
        const found = await sources.find(host, repository)
        expiries.saw(found)
        return found
      },
      invalidate: (credential: Credential) => sources.invalidate(credential),
    }
  }
  return {
    own: list(all),
    byHost: list(named),
    count: configs.length,
    close: () => programs.close(),
  }
}

function createFactory(
  { clock, problems, programs: settings }: SourcesContext,
  programs: Programs,
): (config: CredentialConfig) => CredentialSource {
  const common = { credentials: new CredentialFactory(), programs, clock, problems }
  const helpers = new DockerHelpers({ ...common, timeoutMs: settings.helperTimeoutMs })
  return (config) => {
    switch (config.kind) {
      case 'password':
        return new PasswordSource({ ...common, config })
      case 'dockerConfig':
        return new DockerConfigSource({ ...common, path: config.file, helpers })
      case 'kubelet': {
        const { configFile, binDir } = config
        const timeoutMs = settings.pluginTimeoutMs
        return new KubeletSource({ ...common, configFile, binDir, timeoutMs })
      }
      default:
        return config satisfies never
    }
  }
}

function pathLength(config: CredentialConfig): number {
  return config.kind === 'password' ? config.path.length : 0
}
