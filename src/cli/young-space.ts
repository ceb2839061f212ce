import { setFlagsFromString } from 'node:v8'

/**
 * For a command that many bytes go through. Each 64 KiB of a connection are memory of their own, which
 * only a collection gives back: V8 waits until it has a few MiB of objects, or 64 MiB of such memory,
 * and then goes through all there is, with every processor. As long as the space of young objects does
 * not grow, a short collection comes before. To be said before the command is loaded: with that it
 * has grown already.
 */
export function keepYoungSpaceSmall(): void {
  setFlagsFromString('--semi-space-growth-factor=1')
}
