import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import { isIP, type LookupFunction } from 'node:net'
import type { TestContext } from 'node:test'

/** Addresses, an error of the resolver such as `ENOTFOUND`, or `silence`: no answer at all. */
export type NameAnswer = readonly string[] | 'ENOTFOUND' | 'EAI_AGAIN' | 'silence'

/**
 * Takes the place of the system's resolver until the test ends, so that no question leaves this
 * process.
 *
 * @returns the names that were asked for, as they come
 */
export function resolveNames(
  t: TestContext,
  answerTo: (hostname: string) => NameAnswer,
): readonly string[] {
  const asked: string[] = []
  const system = dns.lookup as LookupFunction
  const lookup: LookupFunction = (hostname, options, callback) => {
    // An address needs no resolver, but passes through here too.
    if (isIP(hostname) !== 0) return system(hostname, options, callback)
    asked.push(hostname)
    const answer = answerTo(hostname)
    if (answer === 'silence') return
    if (typeof answer === 'string') {
      const error = Object.assign(new Error(`getaddrinfo ${answer}`), { code: answer })
      return void setImmediate(callback, error, [])
    }
    const found = answer.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    const [first = { address: '', family: 0 }] = found
    if (options.all === true) setImmediate(callback, null, found)
    else setImmediate(callback, null, first.address, first.family)
  }
  const { mock } = t.mock.method(dns, 'lookup', lookup as typeof dns.lookup)
  // What was imported by name follows only when it is told.
  syncBuiltinESMExports()
  t.after(() => {
    mock.restore()
    syncBuiltinESMExports()
  })
  return asked
}
