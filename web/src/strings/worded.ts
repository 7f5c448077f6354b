/** The shape of every language: the same keys and arguments, with other words. */
export type Worded<T> = T extends string
  ? string
  : T extends (...given: infer A) => infer R
    ? (...given: A) => Worded<R>
    : { readonly [K in keyof T]: Worded<T[K]> };
