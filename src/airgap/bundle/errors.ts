/**
 * An archive is not what it has to be: it is damaged, cut, or made to do harm. Nothing of it may be
 * kept. The message is one sentence, for whoever brought it.
 */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError'
}
