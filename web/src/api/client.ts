import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { TwinService } from "@gen/twin/gateway/v1/gateway_pb";

/** The gateway that this page came from. Every call has a deadline; long ones name their own. */
export const twinService = createClient(
  TwinService,
  createGrpcWebTransport({ baseUrl: location.origin, defaultTimeoutMs: 10_000 }),
);
