// SPDX-License-Identifier: Apache-2.0
// Where a line or subtitle may end between two words: daemon/phrases.c, whose lists and weights these are. No DOM.
const SENTENCE = 30, CLAUSE = 20, BEGINS = 10, HANGS = -14, NAME = -14, NEVER = -1000;

/** Words that begin a phrase, in English, German, French, Spanish and Italian. */
export const begins = new Set((
  "aber about after als although and as at auf aus avec because bei before between but by che con cuando damit dans " +
  "dass denn donde durch during et for from für if in into lorsque mais mit nach nor ob obwohl oder of on or ou où " +
  "over para parce pero perché por porque pour quand que qui quindi seit since so sobre sondern that through to über " +
  "um und unless until von weil wenn when where whether which while who wie with without wo zu").split(" "));

/** Words that belong to the next one. */
export const hangs = new Set((
  "a an the this that these those my your his her its our their no very of to in on at for from with by into and or " +
  "but is are was were be will would can could has have had not der die das den dem des ein eine einen einem einer " +
  "eines kein keine mein meine dein deine sein seine ihr ihre unser unsere zu zum zur im am vom von mit für und oder " +
  "sehr le la les un une du de au aux et mon ma mes son sa ses ce cette el los las una del al y mi su il lo gli i di " +
  "che e mr. mrs. ms. dr. st. prof. herr frau parce").split(" "));

const small = (word) => word.replace(/[A-Z]/g, (c) => c.toLowerCase());
const NAMED = /^[A-Z\u00c0-\u00de]/u;

/** The better, the more; 0: neither good nor bad. In columns that a more even break is worth. */
export function phraseBreak(left, right) {
  if (left === ">>") return NEVER;
  if (right === ">>") return SENTENCE;
  let score = 0;
  if (hangs.has(small(left))) score += HANGS;
  else if (/[.?!]["')\]]*$|[\u3002\uff1f\uff01\u2026]$/u.test(left)) score += SENTENCE;
  else if (/[,;:]["')\]]*$|[\uff0c\uff1b\uff1a\u3001\u2014\u2013]$/u.test(left)) score += CLAUSE;
  else if (NAMED.test(left) && NAMED.test(right)) score += NAME;
  if (begins.has(small(right))) score += BEGINS;
  return score;
}
