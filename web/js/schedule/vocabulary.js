// @ts-check
// Words that times are written with. The tables are those of memflow_core/schedule/words.py; a test compares them.

/** @typedef {"s" | "frames" | "chunks" | "latent" | "percent"} Unit */

/** A unit, how many of it, the words that the text form knows, and those that only the server reads. @type {[Unit, number, string, string][]} */
export const UNIT_WORDS = [
  ["s", 1, "s sec secs second seconds", "sek sekunde sekunden seg segs segundo segundos seconde secondes secondo secondi 秒 秒钟 秒鐘 초 с сек секунд секунда секунды секунде секунду"],
  ["s", 60, "min mins minute minutes", "minuten minuto minutos minuti мин минута минуты минут 分 分钟 分鐘 분"],
  ["s", 0.001, "", "ms msec milliseconds 毫秒"],
  ["s", 3600, "", "h hr hrs hour hours 小时 小時 時間"],
  ["frames", 1, "f frame frames", "fr кадр 帧 幀 フレーム"],
  ["chunks", 1, "c chunk chunks", ""],
  ["latent", 1, "l latent latents", ""],
  ["percent", 1, "% percent", ""],
];
/** Words before a time. */
export const TIME_WORDS = "at from between de von ab bei с на time timestamp timecode";
/** Words and signs between the two times of a range. */
export const TO_WORDS = "to until till through and bis à a по до";
export const TO_SIGNS = "至 到 から 부터";
/** Words behind a time. */
export const TAIL_WORDS = "まで 까지 時点 时 Uhr";
/** Words before the number of a part of a story, and those of them that begin headings. */
export const LABEL_WORDS = "scene shot segment clip part prompt beat act step keyframe caption chapter panel take szene teil scène escena cena plan toma plano сцена кадр 镜头 鏡頭 场景 場景 片段 分镜 提示词 シーン カット 장면";
export const PART_WORDS = "scene shot segment clip part beat act step chapter panel take szene teil scène escena cena plan toma plano сцена кадр 镜头 鏡頭 场景 場景 シーン カット 장면";

/** A pattern of one of several words, the longest that fits. @param {string} words */
export function oneOf(words) {
  const escaped = words.split(" ").map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return `(?:${escaped.sort((one, other) => other.length - one.length).join("|")})`;
}

/** All words of units. */
export const UNITS = UNIT_WORDS.map(([, , own, more]) => `${own} ${more}`).join(" ").split(" ").filter(Boolean).join(" ");
