import { fileURLToPath } from "node:url";
import preact from "@preact/preset-vite";
import { defineConfig } from "vitest/config";
import { packed } from "./packed.ts";

// The page talks to its own origin alone; while developing, that origin is Vite, which passes these paths on.
const gateway = process.env["TWIN_GATEWAY_HTTP_TARGET"] ?? "http://127.0.0.1:8080";
const gatewayPaths = ["/twin.gateway.v1.TwinService", "/photos", "/consent"];

export default defineConfig({
  plugins: [preact(), packed()],
  resolve: { alias: { "@gen": fileURLToPath(new URL("./src/gen", import.meta.url)) } },
  build: {
    target: "es2022",
    // A data: font would need a wider content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    host: "127.0.0.1",
    proxy: Object.fromEntries(gatewayPaths.map((path) => [path, { target: gateway }])),
  },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
