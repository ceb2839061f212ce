import type { NodeConfig } from '../../node-config/setup.ts'

/** What nodes need to pull through this Larder. */
export interface NodeSetups {
  readonly runtimes: readonly string[]
  /** Where nodes reach it, if they know it by the host that an operator has asked. */
  serverAt(host: string | undefined): string
  /** @throws {AdminError} where the runtime cannot do what is asked for, or `server` is no origin */
  render(asked: {
    /** One of {@link runtimes}. */
    readonly runtime: string
    readonly server: string
    readonly fallback: boolean
    readonly everything: boolean
  }): NodeConfig
}
