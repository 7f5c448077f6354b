import type { MessageShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { TwinService } from "@gen/twin/gateway/v1/gateway_pb";
import { expect, test } from "vitest";
import { CallFailed, type Client } from "./client";
import { baseUrl, photo } from "./environment";
import { callEveryMethod } from "./every_method";

const transport = createGrpcWebTransport({ baseUrl });

function failed(error: unknown): CallFailed {
  const known = ConnectError.from(error);
  return new CallFailed(known.code, known.rawMessage, known.details.length > 0);
}

const client: Client = {
  async unary(method, request, metadata = {}) {
    try {
      return (await transport.unary(method, undefined, undefined, metadata, request)).message;
    } catch (error) {
      throw failed(error);
    }
  },

  async stream(method, request, metadata = {}) {
    async function* one() {
      yield request;
    }
    try {
      const answer = await transport.stream(method, undefined, undefined, metadata, one());
      const messages: MessageShape<typeof method.output>[] = [];
      for await (const message of answer.message) messages.push(message);
      return messages;
    } catch (error) {
      throw failed(error);
    }
  },
};

callEveryMethod("@connectrpc/connect-web", client);

test("a deadline is kept", async () => {
  const ordinary = createClient(TwinService, transport);
  const error = await ordinary.search({ image: photo }, { timeoutMs: 1 }).catch((reason: unknown) => reason);
  expect(ConnectError.from(error).code).toBe(Code.DeadlineExceeded);
});
