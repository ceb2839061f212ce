import { hostOf, type NodeSetup } from './setup.ts'

/** What the runtime has to do where Larder asks for a password or a certificate. */
export interface LoginHints {
  readonly password: string
  /** Used where no files were named. */
  readonly certificate: string
}

/** The hints that this Larder calls for. */
export function loginNotes({ auth }: NodeSetup, hints: LoginHints): string[] {
  return [
    ...(auth.password ? [`Larder asks for a password. ${hints.password}`] : []),
    ...(auth.certificate && auth.clientCertificate === undefined
      ? [`Larder asks for a client certificate. ${hints.certificate}`]
      : []),
  ]
}

/** For runtimes whose files name the certificate's. */
export const NAME_CERTIFICATE = 'Say where it is on the nodes with --client-cert and --client-key.'

/** For those that look for it under fixed names in a folder. */
export function placeCertificate(root: string, setup: NodeSetup): string {
  return `Put it on each node as client.cert and client.key in ${root}/${hostOf(setup)}/.`
}

/** Those that look for it under fixed names, when it was said where it is. */
export function linkCertificate(root: string, setup: NodeSetup): string[] {
  const { clientCertificate } = setup.auth
  if (clientCertificate === undefined) return []
  const { certFile, keyFile } = clientCertificate
  const directory = `${root}/${hostOf(setup)}`
  return [
    `The client certificate is looked for in ${directory}/: link ${certFile} there as client.cert ` +
      `and ${keyFile} as client.key.`,
  ]
}
