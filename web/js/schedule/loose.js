// @ts-check
// Whether a text holds what only the server reads: times in other shapes than `10s: prompt`, words that are left out,
// fences, JSON. It sees too much rather than too little; the server then reads the text and answers in the text form.
import { HEAD, fold } from "./fold.js";
import { readHeader, readTimedLine, unquote } from "./line.js";
import { isForeignWord, strip, stripEnd } from "./options.js";
import { LABEL_WORDS, PART_WORDS, TIME_WORDS, UNITS, oneOf } from "./vocabulary.js";
import { JOIN, KNOWN, NUMBER, UNIT, beginsOdd, countNumbers, hasLeftovers, inlineTimes, isTimely } from "./words.js";

const MARKS =
  "(?:[ \\t]*(?:[-+*>|\\u2022\\u00b7\\u25aa\\u25cf\\u25e6\\u2023\\u2013\\u2014\\u2460-\\u249b\\u2776-\\u2793#_~`]|[0-9]{1,3}(?:[.)](?=[ \\t])|\\u3001)|\\[[ xX]?\\])){0,16}[ \\t]*";
const LABEL = `(?:(?:${oneOf(LABEL_WORDS)}|[\\u4e00-\\u9fff]{1,3})[^\\n]{0,24}?)?`;
const OPEN = "[([{<\"']?[ *_]{0,9}";
const WHEN = `(?:(?:${oneOf(TIME_WORDS)}|t|@|\\u7b2c)[ \\t=:@+]{0,7})?`;
const NAMED = `${oneOf(UNITS)}\\.?[ \\t=:#]{0,7}`;
const PREFIX = `${WHEN}(?:${NAMED})?`;
const CLOCK = "[0-9]{1,4}:[0-9]{1,2}";
const BEHIND = "[ \\t]{0,20}[*_~`\"')\\]}>]{0,4}[ \\t]{0,20}";
const SEPARATOR = "[-:;=,.|>)/\\\\\\u2192\\u21d2\\u279c\\u2013\\u2014\\u2015\\t]";
const COUNT = `${NUMBER}(?:${UNIT}|[ \\t]{1,3}${KNOWN}(?:${BEHIND}(?:${SEPARATOR}|$)|[ \\t]{1,3}[0-9]|${JOIN}))`;
const RANGE_TAIL = `[0-9.,:]{0,24}(?:${UNIT}|[ \\t]{1,3}${KNOWN}|${BEHIND}(?:${SEPARATOR}|$))`;
/** A clock time, a number with a unit, or a range or number in front of a colon, arrow or the like. */
const SURE = new RegExp(
  `^${MARKS}(?:${LABEL}${OPEN}(?:${PREFIX}(?:${CLOCK}|${COUNT}|${NUMBER}${JOIN}${RANGE_TAIL})|${WHEN}${NAMED}${NUMBER})` +
    `|${OPEN}${PREFIX}${NUMBER}${BEHIND}(?::(?![0-9\\u0660-\\u0669\\u06f0-\\u06f9\\u0966-\\u096f])|[-=]{1,2}>|[\\u2192\\u21d2\\u279c|;=\\t]))`,
  "i",
);
/** What starts many sentences: a number with a stop, a comma or a word. */
const FAINT = new RegExp(
  `^${MARKS}${LABEL}${OPEN}${PREFIX}${NUMBER}[ \\t]{0,3}(?:[a-z\\u0400-\\u04ff]{1,12}|[,/\\\\.)\\]}>*_~\`"'\\u2013\\u2014\\u2015-]|$)`,
  "i",
);
const RANGE = new RegExp(`[0-9][0-9:.,]{0,24}[ \\t]{0,3}(?:${UNIT})?${JOIN}`, "i");
const TIMECODE = /^[0-9]{1,2}:[0-9]{2}:[0-9]{2}[:;][0-9]{2}/;
const DECADE = /^[^0-9]*(?:[5-9]0|[1-9][0-9]{1,10}0)s[ \t]+\p{L}/u;

const STRUCTURE = /^(?:\{\s*(?:["'\u201c\u2018}/#]|[0-9A-Za-z_]{1,60}\s*[:=]|$)|\[\s*(?:[[{("'\u201c\u2018\]]|$))/;
const QUOTED = /^["'\u201c\uff02][-+.]?[\w-]{1,60}(?:[ \t-]{0,3}[\w.]{1,20})?:?["'\u201d\uff02]\s*[:=\uff1a]\s*["'\u201c\u2018([{]/;
const BARE = /^(?:prompt_map\s*[:=]\s*\{|[0-9][\w.%]{0,20}(?:[ \t]{0,3}[-\u2013~][ \t]{0,3}[0-9][\w.%]{0,20})?\s*=\s*["'\u201c\u2018])/;
const LISTED =
  /^[0-9][\w.%]{0,20}(?:[ \t]{0,3}[-\u2013~][ \t]{0,3}[0-9][\w.%]{0,20})?\s*[:\uff1a]\s*["'\u201c\u2018].*,[ \t]{0,20}["'\u201c]?[0-9][\w.% \u2013~-]{0,40}["'\u201d]?[ \t]{0,9}[:=\uff1a][ \t]{0,9}["'\u201c\u2018]/;
const LONG_LINE = 20_000;
const SLIP_HEAD = 80;
const ASSIGNED = /^(?:(?:const|let|var)[ \t]+)?[A-Za-z_]\w{0,60}[ \t]{0,9}(?::[ \t]{0,9}[\w[\], ]{1,40})?=[ \t]{0,9}(?:[[{(]|$)/;
const FENCE = /^(?:`{3}|~{3})/;
const RULE = /^([-=*_~])\1\1+$/;
const HEADER = /^(?:global(?:[ _]prompt)?|total|(?:total )?(?:length|duration)|pin(?:[ \t]+[^\s:\uff1a]{1,60})?)[ \t]{0,9}[:\uff1a]/i;
const NEGATIVE = /^[-+*#_~`>\u2022 \t"]*(?:neg|n_prompt|prompt n|avoid|do not inc|don't inc|--|steps: [0-9]|[\u8d1f\u53cd\u8ca0])/i;
/** A heading, whose time may stand at its end. */
const HEADING = new RegExp(`^(?:#{2}|[*_]{2}|\\[|[^\\p{L}]{0,9}${oneOf(PART_WORDS)}[ \\t]?#?(?:[0-9\\u4e00-\\u9fff]|[ivx]{1,4}(?!\\p{L})|one|two|three|four|five|six))|[:\\uff1a][*_]{0,3}$|^[*_].*[*_]:?$`, "iu");
/** Words that an answer ends with. */
const ENDING = /^[#*_~` \t]*(?:let me|i (?:hope|can)|feel free|would you|do you want|want me|sag besch|viel spa|soll ich|m\u00f6chtest|n['\u2019]h|souhaitez|voulez|\u00bf?quieres|quer que|gostaria|\u0445\u043e\u0442\u0438\u0442\u0435|\u3054\u5e0c\u671b|\u9700\u8981\u6211|total|note|tip|hinweis|nota|remarque|\u0437\u0430\u043c\u0435\u0442\u043a\u0430)/i;
/** What a slip holds that begins a line like a time: `[4]`, `three seconds:`, `O:03`. */
const SLIP =
  /^[^\p{L}]{0,40}\p{N}|\p{N}[^\p{N}]+\p{N}|[^\p{L}\p{N} \t,.'-][ \t]{0,3}\p{N}|(?:^|[ \t])(?:at|after|and|then|next|now)[ \t].{0,20}\p{N}|sec|minute|[a-z]\p{N}|O[ .]{0,2}[:;]/iu;
/** Times of programs: `duration 3`, `prompt[0] = "a"`, `between(t,0,3)`. */
const PROGRAM = /^(?:duration[ \t]?[:=]?[ \t]?\p{Nd}|\w{0,30}[[(][ \t]?["']?[0-9.:]{1,9}s?["']?[ \t]?(?:,|\][ \t]?=))|\b(?:between\(t,|-ss[ \t])\p{Nd}/iu;
/** Words before the first time that may be no prompt, as headings may. */
const TITLE = /[:!\uff1a]|^[*#_~` \t]*(?:sure|certainly|of course|absolutely|ok|great|got it|here|\u597d|an? [0-9])/i;
/** A line with a bar within it, not at an end, where it parts it from the next. */
const ROW = /^[^|].*\|.*[^|]$/;
/** A part of `a | b` that is a number. */
const NUMERAL = /^[ \t]*[0-9.,:]{1,12}[ \t]?[a-z]{0,7}[ \t]*$/i;
const NAMES =
  /(?:^|[,;\t|])\W{0,6}(?:time|start|from|begin|at|frame|key|second|sec|range|when|duration|length|\u65f6|\u5f00)[^,;\t|]{0,20}(?:[,;\t|]|$)/i;
const SHOT = /^"?(?:The scene transitions\.|\[SCENE_CUT\])/;
/** The length of a scene with the mark of its join, and lengths at the ends of several. */
const SCENE = /\[[ \t]{0,9}[0-9]{1,9}(?:\.[0-9]{0,9})?[ \t]{0,9}s[ \t]{0,9}(?:[#@][ \t]{0,9}\]|[ \t]{0,9}\][ \t]{0,9}[|;])/;
/** Behind a double quote an arrow is words. */
const SUBTITLE = /^[^"]*[0-9][ \t]{0,9}--?>/;

/** Whether a text holds JSON or a literal of Python, whose braces mean no choices. @param {string} text */
export function isStructure(text) {
  const lines = text.split("\n");
  const braces = /[[{]/.test(text);
  return lines.some((raw, number) => {
    const line = strip(raw.slice(0, LONG_LINE));
    if (STRUCTURE.test(line) || QUOTED.test(line) || BARE.test(line)) return true;
    // a list goes on in the next line
    const listed = line.endsWith(",") ? `${line} ${strip((lines[number + 1] ?? "").slice(0, HEAD))}` : line;
    return LISTED.test(listed) || (braces && ASSIGNED.test(line));
  });
}

/** What is counted while lines are read. */
class Sieve {
  /** whether a line was found that only the server reads */
  odd = false;
  /** lines in the text form */
  entries = 0;
  /** lines of prompt before them */
  lead = 0;
  /** whether a line without a time may begin with a slip */
  slipped = false;
  /** lines of prompt before the first time with a bar, and whether one may be a title */
  bars = 0;
  titled = false;
  /** times within prompts, and in comments */
  inline = 0;
  commented = 0;
  /** @type {string[]} folded heads of lines that may hold a time in another shape */
  sure = [];
  /** @type {string[]} folded heads of those that hold one only if all lines do */
  faint = [];
  blank = true;
  /** numbers in the words, which may be times */
  numbers = 0;

  /** @type {string[]} lines of the prompt that is being read */
  words = [];
  /** whether words may hold a time */
  timely = false;
  /** whether options stand with it */
  optioned = false;
  /** @type {string | null} the prompt before it */
  before = null;

  /** Read the next line. Throws TextError. @param {string} raw */
  read(raw) {
    const line = strip(raw);
    // headings and tags are left out, which is told
    if (/^#[#\p{L}\p{Nd}]/u.test(line)) this.odd = true;
    if (line.startsWith("#")) {
      const head = fold(line.slice(0, HEAD).replace(/^[# ]+/, ""));
      this.commented += Number(SURE.test(head) || FAINT.test(head));
    } else if (line) {
      const timed = TIMECODE.test(line) ? null : readTimedLine(line);
      if (timed) this.begin(strip(line.slice(timed.colon + 1)), timed, line);
      else this.readOther(line);
    }
    // a comment stands between no lines
    if (!line.startsWith("#")) this.blank = !line;
  }

  /** Read a line in the text form. @param {string} prompt @param {import("./line.js").TimedLine} timed @param {string} line */
  begin(prompt, { time: { value, unit }, timeEnd, options, colon }, line) {
    this.endWords();
    // words before a prompt at 0 are left out, or refused; numbers without a unit are told
    this.odd ||= (this.lead > 0 && !this.entries && (value === 0 || this.timely)) || (unit === "frames" && value > 0 && /[0-9.]$/.test(stripEnd(line.slice(0, timeEnd))));
    // words of other programs, and what begins a shot in one
    this.odd ||= options.some(({ kind, value }) => kind === "ask" && isForeignWord(value));
    this.odd ||= this.entries + this.lead > 0 && !options.length && SHOT.test(prompt);
    this.optioned = options.length > 0;
    // a letter for a digit, as in `0:O3 a`
    this.odd ||= timeEnd === colon && /^[OolI]\p{Nd}/u.test(prompt);
    this.entries++;
    this.words.push(prompt);
  }

  /** Read a line without a time in the text form. @param {string} line */
  readOther(line) {
    const head = fold(line);
    const header = readHeader(line);
    if (header && !this.entries && !this.lead) {
      this.odd ||= hasLeftovers(header.value);
      return;
    }
    this.odd ||= header !== null && this.lead > 0;
    this.odd ||= FENCE.test(line) || RULE.test(line) || NEGATIVE.test(head) || NEGATIVE.test(head.replaceAll("*", "").replaceAll("_", " ")) || TIMECODE.test(head);
    this.odd ||= (!(header && !this.entries) && HEADER.test(head)) || (this.entries > 0 && (this.blank || HEADING.test(line) || ENDING.test(head)));
    const sure = SURE.test(head);
    if (sure && !DECADE.test(head)) this.sure.push(head);
    else if (sure || FAINT.test(head)) this.faint.push(head);
    this.slipped ||= (SLIP.test(line.slice(0, SLIP_HEAD)) && !DECADE.test(line)) || PROGRAM.test(head);
    // of 'a | b', all parts but the first
    this.odd ||= !this.entries && /\|[ \t]*"?(?:The scene|\[SCENE_CUT\])/.test(line);
    if (!this.entries) {
      this.lead++;
      this.bars += Number(ROW.test(line));
      this.titled ||= TITLE.test(line) || HEADING.test(line);
    }
    this.words.push(line);
  }

  /** Look at the words of the prompt that ends here. */
  endWords() {
    const words = this.words.filter(Boolean).join(" ");
    // quotes that go over several lines hide no time in a later one
    this.odd ||= this.words.length > 1 && isTimely(words);
    this.words = [];
    // a time has no prompt
    if (!words && this.entries) this.odd = true;
    // the same prompt again holds the one before it
    this.odd ||= this.entries > 1 && !this.optioned && unquote(words) === this.before;
    this.before = unquote(words);
    if (!words || unquote(words) !== words) return;
    const { keys, all } = inlineTimes(words);
    this.numbers += countNumbers(words);
    this.timely = isTimely(words);
    this.odd ||= !this.entries && words.split("|").some((part, _, { length }) => length > 1 && NUMERAL.test(part));
    this.odd ||= hasLeftovers(words) || (this.entries > 0 && (beginsOdd(words) || this.timely || keys > 0));
    this.inline += all;
  }

  /** Whether only the server reads the lines. */
  get found() {
    if (this.odd || (!this.entries && this.commented > 1)) return true;
    if (this.entries ? this.slipped || (this.lead > 0 && this.titled) : this.bars > 1) return true;
    if (this.entries < 2 && this.numbers + this.entries > 1) return true;
    const faint = !this.entries && isZero(this.faint[0]) ? this.faint : [];
    const loose = [...this.sure, ...faint];
    if (loose.length && (this.entries + loose.length > 1 || this.lead > 1 || isZero(loose[0]) || RANGE.test(loose[0]))) return true;
    // one prompt with times in it is refused
    return this.inline > (this.entries ? 0 : 1) && this.entries < 2 && !(this.entries && this.lead);
  }
}

/** Whether a number near the start of a line is 0. @param {string | undefined} head */
function isZero(head) {
  const numbers = (head ?? "").slice(0, 60).match(/[0-9]+(?:[:.][0-9]+)*/g) ?? [];
  return numbers.some((number) => !/[1-9]/.test(number));
}

/** Whether a text holds what only the server reads. Throws TextError. @param {string[]} lines */
export function isLoose(lines) {
  const sieve = new Sieve();
  for (const line of lines) {
    sieve.read(line);
    if (sieve.odd || SUBTITLE.test(line.slice(0, HEAD)) || SCENE.test(line)) return true;
  }
  sieve.endWords();
  return sieve.found || isTable(lines);
}

/** Whether the first line may be the row of a table. @param {string[]} lines */
function isTable(lines) {
  const [first, second] = lines.map((line) => strip(line)).filter(Boolean);
  if (second === undefined || !/[,;\t|]/.test(first)) return false;
  const cell = strip(first.slice(0, HEAD).split(/[,;\t|]/, 1)[0]).replaceAll('"', "");
  return first.startsWith("|") || (cell.length < 100 && !/:(?![0-9])/.test(fold(cell)) && SURE.test(fold(`${cell}:`))) || NAMES.test(first);
}
