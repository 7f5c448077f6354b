import { useEffect, useState } from "preact/hooks";
import type { Problem } from "../api/problem";

/** What is done with what comes in. */
export interface Incoming {
  /** `half` is the half of the page that the photos were dropped on, as the page is read. */
  take: (files: [File, ...File[]], half?: "start" | "end") => void;
  refuse: (problem: Problem) => void;
}

/** How long after the last "dragover" a drag is over, ms; while it goes on, browsers send one every 350 ± 200 ms. */
const DRAG_ENDS_MS = 700;

/**
 * Takes photos that are dropped anywhere on the page or pasted; says whether one is being dragged over it. Without
 * `incoming` a dropped one is ignored: the browser would leave the page for it.
 */
export function useIncomingPhotos(incoming: Incoming | undefined): boolean {
  const [dragging, setDragging] = useState(false);
  useEffect(() => {
    // A picture or a link of this page that is moved about is no new photo.
    let ours = false;
    // "dragleave" does not say in every browser whether the page was left, and a cancelled drag says nothing.
    let timer: ReturnType<typeof setTimeout> | undefined;
    const end = () => {
      clearTimeout(timer);
      setDragging(false);
    };
    const begin = () => (ours = true);
    const finish = () => (ours = false);
    const over = (event: DragEvent) => {
      if (ours || !carriesSomething(event.dataTransfer)) return;
      event.preventDefault();
      if (!incoming) {
        event.dataTransfer.dropEffect = "none";
        return;
      }
      clearTimeout(timer);
      timer = setTimeout(end, DRAG_ENDS_MS);
      setDragging(true);
    };
    const drop = (event: DragEvent) => {
      end();
      if (ours || !carriesSomething(event.dataTransfer)) return;
      event.preventDefault();
      if (incoming) take(incoming, event.dataTransfer, event.clientX);
    };
    const paste = (event: ClipboardEvent) => {
      const [first, ...others] = event.clipboardData?.files ?? [];
      if (!first || !incoming) return;
      event.preventDefault();
      incoming.take([first, ...others]);
    };
    window.addEventListener("dragstart", begin);
    window.addEventListener("dragend", finish);
    window.addEventListener("dragover", over);
    window.addEventListener("drop", drop);
    window.addEventListener("paste", paste);
    return () => {
      end();
      window.removeEventListener("dragstart", begin);
      window.removeEventListener("dragend", finish);
      window.removeEventListener("dragover", over);
      window.removeEventListener("drop", drop);
      window.removeEventListener("paste", paste);
    };
  }, [incoming]);
  return dragging;
}

/** True for files and links; text may be dropped into the page's fields. */
function carriesSomething(dropped: DataTransfer | null): dropped is DataTransfer {
  return dropped !== null && (dropped.types.includes("Files") || dropped.types.includes("text/uri-list"));
}

function take(incoming: Incoming, dropped: DataTransfer, x: number) {
  const [first, ...others] = dropped.files;
  const leftToRight = getComputedStyle(document.documentElement).direction === "ltr";
  if (first) incoming.take([first, ...others], x < innerWidth / 2 === leftToRight ? "start" : "end");
  else incoming.refuse({ kind: dropped.types.includes("text/uri-list") ? "link-dropped" : "not-a-photo" });
}
