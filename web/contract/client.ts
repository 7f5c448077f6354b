import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";

/** How a call failed: the number of the canonical status, and its message. */
export class CallFailed extends Error {
  constructor(
    readonly code: number,
    message: string,
    readonly hasDetails: boolean,
  ) {
    super(message);
  }
}

/** What every client can do, however it does it. Failures are CallFailed. */
export interface Client {
  unary<Request extends DescMessage, Response extends DescMessage>(
    method: DescMethodUnary<Request, Response>,
    request: MessageInitShape<Request>,
    metadata?: Record<string, string>,
  ): Promise<MessageShape<Response>>;

  stream<Request extends DescMessage, Response extends DescMessage>(
    method: DescMethodServerStreaming<Request, Response>,
    request: MessageInitShape<Request>,
    metadata?: Record<string, string>,
  ): Promise<MessageShape<Response>[]>;
}
