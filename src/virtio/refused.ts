// What a front end may not say.

/** A refusal that the front end is told of, or for which its connection ends. */
export class Refused extends Error {}
