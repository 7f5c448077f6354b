import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { CHOOSABLE_TYPES } from "../photo/format";
import { searchWithFile } from "../state/searching";

interface Props {
  class: string;
  label?: string;
  /** What is done with the photo; it is searched with otherwise. */
  take?: (file: File) => void;
  children: ComponentChildren;
}

/** A button that opens the device's own photo chooser. */
export function ChoosePhoto({ class: className, label, take = search, children }: Props) {
  const input = useRef<HTMLInputElement>(null);
  const choose = () => {
    const chosen = input.current;
    const file = chosen?.files?.[0];
    if (file) take(file);
    // Choosing the same file again is a change too.
    if (chosen) chosen.value = "";
  };
  return (
    <>
      <button type="button" class={className} aria-label={label} onClick={() => input.current?.click()}>
        {children}
      </button>
      <input ref={input} type="file" accept={CHOOSABLE_TYPES} hidden onChange={choose} />
    </>
  );
}

const search = (file: File) => void searchWithFile(file);
