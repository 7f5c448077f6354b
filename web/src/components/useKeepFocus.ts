import { useEffect, useRef } from "preact/hooks";
import type { Keep } from "../state/state";

/**
 * Moves the focus along as keeping a photo goes on. It follows the state rather than the panels, which are made anew
 * wherever the page shows them, and it never takes the focus from another control.
 */
export function useKeepFocus(keep: Keep): void {
  const before = useRef(keep);
  useEffect(() => {
    if (before.current === keep) return;
    before.current = keep;
    if (keep.phase === "saving" || document.activeElement !== document.body) return;
    const goal = keep.phase === "closed" ? ".keep-offer button" : "#keep-title";
    document.querySelector<HTMLElement>(goal)?.focus();
  }, [keep]);
}
