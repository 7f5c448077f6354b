import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { CHOOSABLE_TYPES } from "../photo/format";
import { searchWithFile } from "../state/searching";

interface Props {
  class: string;
  label?: string;
  children: ComponentChildren;
}

/** A button that opens the device's own photo chooser. */
export function ChoosePhoto({ class: className, label, children }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const take = () => {
    const chosen = input.current;
    const file = chosen?.files?.[0];
    if (file) void searchWithFile(file);
    // Choosing the same file again is a change too.
    if (chosen) chosen.value = "";
  };
  return (
    <>
      <button type="button" class={className} aria-label={label} onClick={() => input.current?.click()}>
        {children}
      </button>
      <input ref={input} type="file" accept={CHOOSABLE_TYPES} hidden onChange={take} />
    </>
  );
}
