import { TwinService } from "@gen/twin/gateway/v1/gateway_pb";
import { afterAll, describe, expect, test } from "vitest";
import { CallFailed, type Client } from "./client";
import { admin, photo } from "./environment";

const FAILED_PRECONDITION = 9;
const NOT_FOUND = 5;
const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const UNAUTHENTICATED = 16;

const { search, detectFaces, compare, addPhoto, deletePhoto, getPhoto, exportPhoto, getStats, listGalleries } = TwinService.method;
const { importPhotos, reconcilePhotos } = TwinService.method;

async function failure(call: Promise<unknown>): Promise<CallFailed> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CallFailed);
  return error as CallFailed;
}

/** Calls every method of the service with one client, and leaves the gallery as it was. */
export function callEveryMethod(name: string, plain: Client): void {
  const called = new Set<string>();
  const client: Client = {
    unary: (method, request, metadata) => {
      called.add(method.name);
      return plain.unary(method, request, metadata);
    },
    stream: (method, request, metadata) => {
      called.add(method.name);
      return plain.stream(method, request, metadata);
    },
  };

  describe(name, () => {
    const kept: { photoId: string; deletionToken: string }[] = [];

    afterAll(async () => {
      for (const { photoId } of kept) await plain.unary(deletePhoto, { photoId }, admin);
    });

    test("GetStats names the consent text", async () => {
      const stats = await client.unary(getStats, {});
      expect(stats.policyVersion).toMatch(/^\d{4}-\d{2}/);
      expect(stats.modelPack).not.toBe("");
    });

    test("ListGalleries names the gallery that visitors are shown", async () => {
      const { galleries } = await client.unary(listGalleries, {});
      expect(galleries.map((gallery) => gallery.name)).toEqual(["default"]);
    });

    test("DetectFaces finds the face", async () => {
      const found = await client.unary(detectFaces, { image: photo });
      expect(found.faces.length).toBeGreaterThan(0);
      expect(found.faces.filter((face) => face.primary)).toHaveLength(1);
      expect(found.imageWidth).toBeGreaterThan(0);
    });

    test("Compare finds a photo equal to itself", async () => {
      const answer = await client.unary(compare, { firstImage: photo, secondImage: photo });
      expect(answer.samePerson).toBe(true);
      expect(answer.similarity?.cosine).toBeGreaterThan(0.99);
    });

    test("AddPhoto, Search, GetPhoto and DeletePhoto keep, find, show and remove a photo", async () => {
      const { policyVersion } = await client.unary(getStats, {});
      const added = await client.unary(addPhoto, { image: photo, consent: { policyVersion }, person: "Contract" });
      const receipt = added.savedPhoto;
      if (!receipt) throw new Error("no receipt");
      kept.push(receipt);
      expect(receipt.deletionToken.length).toBeGreaterThanOrEqual(43);

      const found = await client.unary(search, { image: photo });
      const twins = found.results.flatMap((result) => [...result.twins, ...result.yourself]);
      expect(twins.map((twin) => twin.match?.photoId)).toContain(receipt.photoId);

      const pieces = await client.stream(getPhoto, { photoId: receipt.photoId });
      const size = pieces.reduce((sum, piece) => sum + piece.data.length, 0);
      expect(size).toBeGreaterThan(1000);
      expect(Math.max(...pieces.map((piece) => piece.data.length))).toBeLessThanOrEqual(64 * 1024);
      expect(pieces[0]?.contentType).toMatch(/^image\/(jpeg|png)$/);

      const { photoId, deletionToken } = receipt;
      const archive = await client.stream(exportPhoto, { photoId, deletionToken });
      expect(new TextDecoder().decode(archive[0]?.data.slice(0, 2))).toBe("PK");
      expect(archive.reduce((sum, piece) => sum + piece.data.length, 0)).toBeGreaterThan(size);

      const wrong = { photoId: receipt.photoId, deletionToken: "A".repeat(43) };
      expect((await failure(client.stream(exportPhoto, wrong))).code).toBe(NOT_FOUND);
      expect((await failure(client.unary(deletePhoto, wrong))).code).toBe(NOT_FOUND);
      const gone = await client.unary(deletePhoto, {
        photoId: receipt.photoId,
        deletionToken: receipt.deletionToken,
      });
      kept.pop();
      expect(gone).toMatchObject({ faceCount: 1, originalRemoved: true });
      expect((await failure(client.stream(getPhoto, { photoId: receipt.photoId }))).code).toBe(NOT_FOUND);
    });

    test("a refusal has its code, its words and its details", async () => {
      const noConsent = await failure(client.unary(addPhoto, { image: photo }));
      expect(noConsent.code).toBe(FAILED_PRECONDITION);
      expect(noConsent.message).toContain("consent");
      expect(noConsent.hasDetails).toBe(true);
      expect((await failure(client.unary(search, { image: photo, limit: -1 }))).code).toBe(INVALID_ARGUMENT);
    });

    test("ImportPhotos and ReconcilePhotos are the administrator's", async () => {
      expect((await failure(client.stream(reconcilePhotos, {}))).code).toBe(PERMISSION_DENIED);
      expect((await failure(client.stream(importPhotos, {}))).code).toBe(PERMISSION_DENIED);
      const wrong = { authorization: "Bearer wrong" };
      expect((await failure(client.stream(importPhotos, {}, wrong))).code).toBe(UNAUTHENTICATED);
      const unknown = { folder: "no-such-folder" };
      expect((await failure(client.stream(importPhotos, unknown, admin))).code).toBe(NOT_FOUND);
    });

    test("no method was left out", () => {
      expect([...called].sort()).toEqual(TwinService.methods.map((method) => method.name).sort());
    });
  });
}
