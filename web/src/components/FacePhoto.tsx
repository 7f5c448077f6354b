import { useState } from "preact/hooks";
import { page } from "../state/page";

/** A picture that fades in once it is here, over whatever stands in its place until then, or for good when it cannot be had. */
export function FacePhoto({ url, alt }: { url: string; alt: string }) {
  const [state, setState] = useState<"coming" | "here" | "missing">("coming");
  if (state === "missing") return <span class="visually-hidden">{alt}</span>;
  return (
    <img
      class={`face-photo face-photo-${state}`}
      src={url}
      alt={alt}
      decoding="async"
      onLoad={() => setState("here")}
      onError={() => {
        setState("missing");
        page.send({ type: "picture-missing" });
      }}
    />
  );
}
