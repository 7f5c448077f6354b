import { create } from "@bufbuild/protobuf";
import { FaceResultSchema, TwinSchema } from "@gen/twin/gateway/v1/gateway_pb";
import { describe, expect, test } from "vitest";
import type { PreparedPhoto } from "../photo/prepare";
import { reduce } from "./events";
import { initialState, type Search, type State } from "./state";
import { createStore } from "./store";

const photo = (name: string): PreparedPhoto => ({
  name,
  bytes: new Uint8Array(),
  url: `blob:${name}`,
  scale: 1,
  borrowed: false,
});
const done = (of: PreparedPhoto, chosen: number): Search => ({
  phase: "done",
  photo: of,
  chosen,
  found: { faces: [], width: 1, height: 1 },
  result: create(FaceResultSchema),
  limit: 15,
});

describe("the keep panel", () => {
  const one = photo("one");
  const asking: State = { ...initialState, search: done(one, 0), keep: { phase: "open" } };
  const received: State["keep"] = { phase: "kept", receipt: { photoName: "one", photoId: "a", deletionToken: "b" } };

  test("stays while the same face is shown", () => {
    expect(reduce(asking, { type: "search-changed", search: done(one, 0) }).keep).toBe(asking.keep);
  });

  test("closes when another face is chosen", () => {
    expect(reduce(asking, { type: "search-changed", search: done(one, 1) }).keep).toEqual({ phase: "closed" });
  });

  test("closes when another photo comes in", () => {
    expect(reduce(asking, { type: "search-changed", search: done(photo("two"), 0) }).keep).toEqual({ phase: "closed" });
    expect(reduce(asking, { type: "search-changed", search: { phase: "reading", borrowed: false } }).keep).toEqual({
      phase: "closed",
    });
  });

  test("never drops a receipt, whose token is shown only once", () => {
    const state = { ...asking, keep: received };
    expect(reduce(state, { type: "search-changed", search: done(photo("two"), 0) }).keep).toBe(received);
  });
});

describe("the way back to one's own photo", () => {
  const own = done(photo("own"), 0);
  const borrowed: Search = { ...done({ ...photo("theirs"), borrowed: true }, 3) };
  const away = [{ phase: "reading", borrowed: true } as const, borrowed].reduce(
    (state, search) => reduce(state, { type: "search-changed", search }),
    { ...initialState, search: own } as State,
  );

  test("is kept while photos out of the gallery are searched with", () => {
    expect(away.home).toBe(own);
    expect(reduce(away, { type: "search-changed", search: { phase: "reading", borrowed: true } }).home).toBe(own);
    const failed: Search = { phase: "failed", problem: { kind: "picture-gone" } };
    expect(reduce(away, { type: "search-changed", search: failed }).home).toBe(own);
  });

  test("ends at home, and with another photo of one's own", () => {
    expect(reduce(away, { type: "search-changed", search: own }).home).toBeUndefined();
    expect(
      reduce(away, { type: "search-changed", search: { phase: "reading", borrowed: false } }).home,
    ).toBeUndefined();
  });
});

test("a search shuts what belongs to the result before", () => {
  const state = reduce({ ...initialState, viewing: create(TwinSchema) }, { type: "picture-missing" });
  expect(state.picturesMissing).toBe(true);
  const after = reduce(state, { type: "search-changed", search: { phase: "reading", borrowed: false } });
  expect(after).toMatchObject({ viewing: undefined, picturesMissing: false });
});

test("who is looked for, and how alike, are changed apart from each other", () => {
  const nearest = reduce(initialState, { type: "mode-changed", mode: "nearest" });
  const both = reduce(nearest, { type: "minimum-changed", minPercent: 30 });
  expect(both.wish).toEqual({ mode: "nearest", minPercent: 30 });
  expect(reduce(both, { type: "mode-changed", mode: "lookalike" }).wish.minPercent).toBe(30);
});

test("events touch their own part alone", () => {
  const gallery = { faceCount: 29 };
  const counted = reduce(initialState, { type: "gallery-counted", gallery });
  expect(counted).toEqual({ ...initialState, gallery });
  const removal = { phase: "removing" } as const;
  expect(reduce(counted, { type: "removal-changed", removal })).toEqual({ ...counted, removal });
});

test("a gallery that can be counted ends the trouble with the service", () => {
  const trouble = { problem: { kind: "starting" }, retryAt: 5 } as const;
  const waiting = reduce(initialState, { type: "service-changed", trouble });
  expect(waiting.trouble).toBe(trouble);
  const gallery = { faceCount: 1 };
  expect(reduce(waiting, { type: "gallery-counted", gallery }).trouble).toBeUndefined();
});

test("another gallery has its own count, and ends the trouble with the one before", () => {
  const galleries = [{ name: "family", faceCount: 3 }];
  const listed = reduce(initialState, { type: "galleries-listed", galleries });
  const missing = reduce(listed, { type: "service-changed", trouble: { problem: { kind: "starting" } } });
  const chosen = reduce(missing, { type: "gallery-chosen", galleryName: "family" });
  expect(chosen).toMatchObject({ galleryName: "family", gallery: { faceCount: 3 }, trouble: undefined });
  expect(reduce(chosen, { type: "gallery-chosen", galleryName: "unlisted" }).gallery).toBeUndefined();
});

test("the store tells its listeners of changes until they leave", () => {
  const store = createStore((state: number, event: number) => state + event, 1);
  const heard: number[] = [];
  const leave = store.subscribe(() => heard.push(store.get()));
  store.send(2);
  store.send(0);
  leave();
  store.send(5);
  expect(heard).toEqual([3]);
  expect(store.get()).toBe(8);
});
