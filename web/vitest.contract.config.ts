import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

// Calls a running gateway, at TWIN_GATEWAY_HTTP_TARGET, with clients that this project did not write.
export default defineConfig({
  resolve: { alias: { "@gen": fileURLToPath(new URL("./src/gen", import.meta.url)) } },
  // One client at a time: they all keep the same photo, and a gallery takes a photo once.
  test: { include: ["contract/**/*.contract.ts"], environment: "node", fileParallelism: false, testTimeout: 60_000 },
});
