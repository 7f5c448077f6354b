import { useEffect, useState } from "preact/hooks";
import { strings } from "../strings";

const SECOND_MS = 1_000;

/** How long it is until the page asks again. `at` is on the clock of Date.now(), ms. */
export function NextTry({ at }: { at: number }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    setNow(Date.now());
    const timer = setInterval(() => setNow(Date.now()), SECOND_MS);
    return () => clearInterval(timer);
  }, [at]);
  const seconds = Math.ceil(Math.max(0, at - now) / SECOND_MS);
  return <p class="aside next-try">{seconds > 0 ? strings.nextTry(seconds) : strings.tryingNow}</p>;
}
