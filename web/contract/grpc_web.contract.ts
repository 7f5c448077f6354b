import { create, fromBinary, toBinary, type DescMessage, type DescMethod, type MessageInitShape } from "@bufbuild/protobuf";
import { GrpcWebClientBase, MethodDescriptor, MethodType, RpcError } from "grpc-web";
import XMLHttpRequest from "xhr2";
import { CallFailed, type Client } from "./client";
import { baseUrl } from "./environment";
import { callEveryMethod } from "./every_method";

// The package is made for browsers; Node has none of its own.
globalThis.XMLHttpRequest = XMLHttpRequest;

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

/** The generated schemas, in the form that the package's own generated code would have. */
function descriptorOf(method: DescMethod, kind: string): MethodDescriptor<unknown, unknown> {
  return new MethodDescriptor(
    pathOf(method),
    kind,
    Object as never,
    Object as never,
    (request: unknown) => toBinary(method.input, request as never),
    (bytes: Uint8Array) => fromBinary(method.output, bytes),
  );
}

function failed(error: RpcError): CallFailed {
  return new CallFailed(error.code, error.message, "grpc-status-details-bin" in error.metadata);
}

function clientOf(format: "text" | "binary"): Client {
  const base = new GrpcWebClientBase({ format });
  return {
    unary(method, request: MessageInitShape<DescMessage>, metadata = {}) {
      const message = create(method.input, request as never);
      return new Promise((resolve, reject) => {
        base.rpcCall(
          baseUrl + pathOf(method),
          message,
          metadata,
          descriptorOf(method, MethodType.UNARY),
          (error, response) => (error ? reject(failed(error)) : resolve(response as never)),
        );
      });
    },

    stream(method, request: MessageInitShape<DescMessage>, metadata = {}) {
      const message = create(method.input, request as never);
      return new Promise((resolve, reject) => {
        const messages: unknown[] = [];
        base
          .serverStreaming(
            baseUrl + pathOf(method),
            message,
            metadata,
            descriptorOf(method, MethodType.SERVER_STREAMING),
          )
          .on("data", (response) => messages.push(response))
          .on("error", (error) => reject(failed(error)))
          .on("end", () => resolve(messages as never));
      });
    },
  };
}

callEveryMethod("grpc-web, text", clientOf("text"));
callEveryMethod("grpc-web, binary", clientOf("binary"));
