import { useEffect, useState } from "preact/hooks";
import { refuse, searchWithFile } from "../state/searching";

/** Takes photos that are dropped anywhere on the page or pasted; says whether one is being dragged over it. */
export function useIncomingPhotos(active: boolean): boolean {
  const [dragging, setDragging] = useState(false);
  useEffect(() => {
    if (!active) return;
    const over = (event: DragEvent) => {
      event.preventDefault();
      setDragging(true);
    };
    const leave = (event: DragEvent) => {
      // Leaving an element for another one inside the page names that one; leaving the page names none.
      if (event.relatedTarget === null) setDragging(false);
    };
    const drop = (event: DragEvent) => {
      event.preventDefault();
      setDragging(false);
      if (event.dataTransfer) take(event.dataTransfer);
    };
    const paste = (event: ClipboardEvent) => {
      const file = event.clipboardData?.files[0];
      if (!file) return;
      event.preventDefault();
      void searchWithFile(file);
    };
    window.addEventListener("dragover", over);
    window.addEventListener("dragleave", leave);
    window.addEventListener("drop", drop);
    window.addEventListener("paste", paste);
    return () => {
      window.removeEventListener("dragover", over);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("drop", drop);
      window.removeEventListener("paste", paste);
    };
  }, [active]);
  return dragging;
}

function take(dropped: DataTransfer) {
  const file = dropped.files[0];
  if (file) void searchWithFile(file);
  else refuse({ kind: dropped.types.includes("text/uri-list") ? "link-dropped" : "not-a-photo" });
}
