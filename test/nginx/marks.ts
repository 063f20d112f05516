/**
 * Header of a cosigner's answer that says whether its store had to change for it. It comes first by the
 * alphabet, so that it is within the part of a write that a trace shows.
 */
export const HEAD_MARK = "a-head";
