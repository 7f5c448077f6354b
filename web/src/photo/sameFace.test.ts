import { create } from "@bufbuild/protobuf";
import { FaceSchema } from "@gen/twin/face/v1/face_pb";
import { expect, test } from "vitest";
import { faceAt, scaled } from "./sameFace";

const face = (index: number, left: number, top: number) =>
  create(FaceSchema, { index, box: { left, top, width: 100, height: 120 } });

test("the face that lies where the box is, is found, however the faces are ordered", () => {
  const faces = [face(4, 0, 0), face(0, 200, 10), face(2, 90, 0)];
  expect(faceAt(faces, { left: 205, top: 8, width: 96, height: 125 })).toBe(0);
  expect(faceAt(faces, { left: 80, top: 0, width: 100, height: 120 })).toBe(2);
});

test("a neighbour is not taken for it", () => {
  expect(faceAt([face(0, 0, 0)], { left: 90, top: 0, width: 100, height: 120 })).toBeUndefined();
  expect(faceAt([], { left: 0, top: 0, width: 10, height: 10 })).toBeUndefined();
});

test("a box follows its photo when that is scaled", () => {
  const box = { left: 300, top: 600, width: 150, height: 180 };
  expect(scaled(box, 0.5)).toEqual({ left: 150, top: 300, width: 75, height: 90 });
});
