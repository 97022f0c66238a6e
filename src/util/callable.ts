// Objects that can be called: modules, tokenizers, pipelines. `class Tokenizer extends Callable<[text: string], Encoding>` gives
// instances that are functions, with the class's prototype and fields; a call runs their `_call`.

/** The call of a Callable, merged into the class by type. */
export interface Callable<A extends unknown[], R> {
  (...args: A): R
}

/** Base of callable objects. Subclasses must not rely on the function's own `name` and `length`, which are deleted. */
export abstract class Callable<A extends unknown[], R> {
  constructor() {
    const self = ((...args: A) => self._call(...args)) as unknown as Callable<A, R>
    Object.setPrototypeOf(self, new.target.prototype)
    // They would shadow fields and accessors of the class.
    Reflect.deleteProperty(self, 'name')
    Reflect.deleteProperty(self, 'length')
    return self // a function in the place of the instance: the point of this class
  }

  /** What a call does. */
  abstract _call(...args: A): R
}
