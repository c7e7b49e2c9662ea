// By name, not as `z`: what is not here, half of it the messages of 50 languages, is not in the bundle.
export type { core, input, output, RefinementCtx, ZodType } from 'zod';
export {
  array,
  boolean,
  enum,
  int,
  literal,
  NEVER,
  number,
  record,
  strictObject,
  string,
  toJSONSchema,
  union,
  unknown,
} from 'zod';
