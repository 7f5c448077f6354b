import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";

/** Moves the focus to the element when what had it is gone after a change of `what`, so that keyboards and readers go on there. */
export function useLostFocus(element: RefObject<HTMLElement | null>, what: unknown): void {
  const before = useRef(what);
  useEffect(() => {
    if (before.current === what) return;
    before.current = what;
    if (document.activeElement === document.body) element.current?.focus({ preventScroll: true });
  }, [element, what]);
}
