interface Props<T extends string> {
  /** What the choice is about, for screen readers. */
  legend: string;
  name: string;
  options: readonly (readonly [value: T, words: string])[];
  chosen: T;
  choose: (value: T) => void;
}

/** A choice of a few things, side by side. */
export function Segments<T extends string>({ legend, name, options, chosen, choose }: Props<T>) {
  return (
    <fieldset class="segments">
      <legend class="visually-hidden">{legend}</legend>
      {options.map(([value, words]) => (
        <label key={value} class="segment">
          <input
            type="radio"
            class="visually-hidden"
            name={name}
            checked={value === chosen}
            onChange={() => choose(value)}
          />
          {words}
        </label>
      ))}
    </fieldset>
  );
}
