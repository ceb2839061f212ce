import type { ExportPreview } from '../../airgap/bundle/export.ts'
import type { ImportEvent, ImportRequest, ImportResult } from '../../airgap/bundle/import.ts'
import type { ExportRequest } from '../../airgap/bundle/plan.ts'

export interface Importing {
  /**
   * Reads a plain tar of images to its end.
   *
   * @throws {AdminError} `ARCHIVE_REFUSED` or `NO_ROOM`: nothing of it is kept
   * @throws the signal's reason
   */
  run(
    body: AsyncIterable<Uint8Array>,
    request: ImportRequest,
    onEvent: (event: ImportEvent) => void,
    signal: AbortSignal,
  ): Promise<ImportResult>
}

export interface Exporting {
  /** What {@link stream} would give. @throws {AdminError} */
  preview(request: ExportRequest, signal: AbortSignal): Promise<ExportPreview>
  /**
   * A plain tar. A piece is what it is until the next one is asked for.
   *
   * @throws {AdminError} before its first byte; what is thrown later makes it useless
   */
  stream(request: ExportRequest, signal: AbortSignal): AsyncIterable<Uint8Array>
}
