// @ts-check
// Chinese of the errors of the forms of a schedule, A to L, by the English sentence. {0}, {1} ... are the places of values.

/** @type {Record<string, string>} */
export const TEXT_ERRORS = {
  // memflow_core/schedule/entries.py
  "line {0}: {1} says how long a prompt lasts: write the start of each prompt, not how long it lasts, as in '0s: a prompt'; a whole text in double quotes is one prompt.":
    "第 {0} 行：{1} 写的是提示词的时长：请写每条提示词的开始时间，而不是它持续多久，例如 '0s: a prompt'；整段文本加双引号则是一条提示词。",
  "line {0}: {1} holds a time that cannot be read as one: write each prompt on a line of its own, as in '4s: a prompt', or in double quotes after its time if it means no time; a whole text in double quotes is one prompt.":
    "第 {0} 行：{1} 含有无法读取的时间：请把每条提示词单独写一行，例如 '4s: a prompt'；若它不表示时间，请把时间后的提示词放进双引号；整段文本加双引号则是一条提示词。",
  "line {0}: there is no prompt behind the time: write it there or below, or \"\" for none; in front of its time it is not read.":
    "第 {0} 行：时间后面没有提示词：请写在该处或下一行，若不要提示词请写 \"\"；写在时间前面不会被读取。",
  "line {0}: {1} is a number, no prompt: write words, or put it in double quotes.":
    "第 {0} 行：{1} 是数字，不是提示词：请写文字，或把它放进双引号。",
  "line {0}: {1} begins with a second time: write a range as in '0-3s: a', or, for words, double quotes as in {2}: {3}.":
    "第 {0} 行：{1} 以第二个时间开头：时间段请写成 '0-3s: a'；若是文字，请用双引号，例如 {2}: {3}。",
  "line {0}: {1} has no unit, so it counts video frames among seconds: write '{2}s' for seconds, or '{3}f' for frames.":
    "第 {0} 行：{1} 没有单位，会在秒数之间被当作视频帧：秒请写 '{2}s'，帧请写 '{3}f'。",
  "line {0}: {1} has no unit, so it would count video frames, which are whole: write '{2}s' for seconds.":
    "第 {0} 行：{1} 没有单位，会被当作视频帧，而帧必须是整数：秒请写 '{2}s'。",
  "line {0}: {1}": "第 {0} 行：{1}",
  // memflow_core/schedule/errors.py
  "a {0} of great size": "很大的 {0}",
  "{0} is {1}, but must be text.": "{0} 为 {1}，但必须是文本。",
  "{0} holds a NUL character at position {1}: leave it out.": "{0} 在位置 {1} 含有 NUL 字符：请去掉它。",
  "{0} holds half a character (a lone surrogate) at position {1}: type it anew.": "{0} 在位置 {1} 含有半个字符（孤立的代理项）：请重新输入。",
  // memflow_core/schedule/formats.py
  "story is {0}, but the text holds one schedule: set story to 1.": "story 为 {0}，但文本只有一份调度：请把 story 设为 1。",
  "this object has the keys {0}, but a schedule has 'segments', 'prompts', or video frames as keys.":
    "此对象的键为 {0}，但调度应有 'segments'、'prompts'，或以视频帧为键。",
  "story is {0}, but the text holds {1} stories: choose 1 to {2}.": "story 为 {0}，但文本有 {1} 个故事：请选择 1 到 {2}。",
  "the schedule is empty: all its lines are headers, comments or left out, so write a prompt, or put the whole text in double quotes if it is one.":
    "调度是空的：所有行都是标头、注释或被略去，请写一条提示词；若整段文本就是提示词，请把它放进双引号。",
  "the first prompt is asked for at {0}, but the first must start at 0: set it to 0 and write the start of each prompt, not how long it lasts{1}.":
    "第一条提示词要求在 {0} 开始，但第一条必须从 0 开始：请设为 0，并写每条提示词的开始时间，而不是它持续多久{1}。",
  "a schedule is text, a list or an object, not {0}.": "调度应为文本、列表或对象，而不是 {0}。",
  "'prompts' is {0}, but must be a list of at least one prompt.": "'prompts' 为 {0}，但必须是至少有一条提示词的列表。",
  "{0} stands beside 'prompts', but times of a list are written within it: write each as [\"3s\", \"a prompt\"], or switch_frame_indices.":
    "{0} 与 'prompts' 并列，但列表的时间要写在列表之内：每条请写成 [\"3s\", \"a prompt\"]，或用 switch_frame_indices。",
  // memflow_core/schedule/frames_form.py
  "prompt_map is {0}, but must have video frames as keys, as in {\"0\": \"a prompt\"}.":
    "prompt_map 为 {0}，但必须以视频帧为键，例如 {\"0\": \"a prompt\"}。",
  "the schedule starts with '{', but has no '}' at its end: add it.": "调度以 '{' 开头，但结尾没有 '}'：请加上。",
  "expected \"frame\": \"prompt\", not {0}: put the prompt in double quotes, and write \\\" for a quote within.":
    "应为 \"frame\": \"prompt\"，而不是 {0}：请把提示词放进双引号，其中的引号写作 \\\"。",
  "{0} holds {1} prompts for one time, but prompts are not blended: keep one.": "{0} 在同一时间有 {1} 条提示词，但提示词不会混合：请只留一条。",
  "key {0} is no video frame: write a whole number, as in \"24\": \"prompt\".":
    "键 {0} 不是视频帧：请写整数，例如 \"24\": \"prompt\"。",
  "expected a comma before {0}.": "{0} 之前应有逗号。",
  // memflow_core/schedule/grid.py
  "a chunk has {0} latent frames, but must have a whole number from 1 to 1024.": "每块有 {0} 个潜空间帧，但必须是 1 到 1024 的整数。",
  "fps is {0}, but must be from 0.01 to 10000.": "fps 为 {0}，但必须在 0.01 到 10000 之间。",
  // memflow_core/schedule/headers.py
  "'{0}:' is written twice: keep one.": "'{0}:' 写了两次：请只留一个。",
  "a pin stands before the first prompt, like every header: move it up, or put the prompt that goes on here in double quotes.":
    "固定点写在了第一条提示词之后，而它与所有标头一样要写在前面：请上移；若这是提示词的续行，请放进双引号。",
  "'pin {0}:' is written twice: every name stands for one moment.": "'pin {0}:' 写了两次：每个名称只代表一个瞬间。",
  // memflow_core/schedule/json_form.py
  "'prompt' is missing.": "缺少 'prompt'。",
  "blend has both 'chunks' and 's': keep one.": "blend 同时有 'chunks' 和 's'：请只留一个。",
  "{0} is {1}, but must be a list.": "{0} 为 {1}，但必须是列表。",
  "{0} is neither an object nor [time, prompt].": "{0} 既不是对象，也不是 [time, prompt]。",
  "blend is {0}, but must be an object like {\"chunks\": 6, \"path\": \"linear\"}.":
    "blend 为 {0}，但必须是类似 {\"chunks\": 6, \"path\": \"linear\"} 的对象。",
  "it has {0} times, but must have one of {1}.": "它有 {0} 个时间，但只能有其中之一：{1}。",
  "time is {0}, but must have one unit, as in {\"s\": 10}.": "time 为 {0}，但必须有一个单位，例如 {\"s\": 10}。",
  "time is {0}, but must be a text, a video frame, or an object like {\"s\": 10}.":
    "time 为 {0}，但必须是文本、视频帧，或类似 {\"s\": 10} 的对象。",
  "key {0} is unknown: use {1}.": "键 {0} 未知：请用 {1}。",
  "{0} has {1} parts, but must be [time, prompt].": "{0} 有 {1} 个部分，但必须是 [time, prompt]。",
  "{0} is not an object.": "{0} 不是对象。",
  "pin {0}: {1}": "固定点 {0}：{1}",
  "entry {0}: {1}": "条目 {0}：{1}",
  // memflow_core/schedule/json_text.py
  "this JSON holds {0}, but every number must be finite.": "此 JSON 含有 {0}，但所有数字都必须有限。",
  "key {0} is given twice in one JSON object: keep one.": "同一 JSON 对象中键 {0} 出现了两次：请只留一个。",
  "this JSON is nested too deeply to be a schedule.": "此 JSON 嵌套太深，不是调度。",
  "this JSON holds a number of too many digits: mend it.": "此 JSON 含有位数过多的数字：请修改。",
  // memflow_core/schedule/limits.py
  "the schedule has {0} {1}, but may have {2}: split the story, and go on from a saved state.":
    "调度有 {0} {1}，但最多 {2}：请把故事分开，并从保存的状态继续。",
  "the schedule has {0} {1}, but may have {2}: make it shorter.": "调度有 {0} {1}，但最多 {2}：请缩短。",
  // memflow_core/schedule/line.py
  "{0} starts with an option after the colon: write it before the colon ('10s [cut]: prompt'), or put the prompt in double quotes.":
    "{0} 在冒号之后以选项开头：请写在冒号之前（'10s [cut]: prompt'），或把提示词放进双引号。",
  "option [{0}] is unknown: use {1}, [seed 7], [lora name 0.8] or the name of a pin (a header like 'pin hero: 3.5s' makes one).":
    "选项 [{0}] 未知：请用 {1}、[seed 7]、[lora name 0.8] 或固定点的名称（由 'pin hero: 3.5s' 这样的标头定义）。",
  "{0} has an option, but no colon after it: write it as '10s [cut]: prompt'.":
    "{0} 有选项，但其后没有冒号：请写成 '10s [cut]: prompt'。",
  "option [{0}] is the second {1} of this line: keep one.": "选项 [{0}] 是此行的第二个 {1}：请只留一个。",
  "option [{0}] must say chunks, a whole number of at least 1, or seconds above 0, and may add {1}: write [blend], [blend 6], [blend 3s] or [blend 6 spherical].":
    "选项 [{0}] 必须写明块数（至少为 1 的整数）或大于 0 的秒数，并可加 {1}：请写 [blend]、[blend 6]、[blend 3s] 或 [blend 6 spherical]。",
  "option [{0}] is the second switch of this line: keep one.": "选项 [{0}] 是此行的第二种切换方式：请只留一种。",
  // memflow_core/schedule/literal.py
  "the end of the text": "文本的结尾",
  "a string that starts with {0} does not end: add the quote behind it.": "以 {0} 开头的字符串没有结尾：请在后面加上引号。",
  "{0} holds a backslash that means nothing: write \\\\ for it.": "{0} 含有没有意义的反斜杠：请写作 \\\\。",
  "expected a value, but found {0}.": "应为一个值，却遇到 {0}。",
  "expected a comma or {0} before {1}.": "{1} 之前应有逗号或 {0}。",
  "a string in three quotes does not end: add the quotes behind it.": "三引号中的字符串没有结尾：请在后面加上引号。",
  "there is more behind the end: {0}.": "结尾之后还有内容：{0}。",
  "line {0}: this is no valid JSON ({1}): mend it, or write the schedule as text, one '10s: prompt' a line.":
    "第 {0} 行：这不是有效的 JSON（{1}）：请修改，或把调度写成文本，每行一条 '10s: prompt'。",
  "it is nested too deeply to be a schedule.": "嵌套太深，不是调度。",
  "expected a key, but found {0}.": "应为一个键，却遇到 {0}。",
  "{0} is no character: write \\\\ for a backslash.": "{0} 不是字符：反斜杠请写作 \\\\。",
  "expected a colon behind {0}.": "{0} 之后应有冒号。",
  "key {0} is given twice: keep one.": "键 {0} 出现了两次：请只留一个。",
  // memflow_core/schedule/lora.py
  "loras is {0}, but must be a list of at most {1}.": "loras 为 {0}，但必须是最多 {1} 项的列表。",
  "loras is {0}, but must name each LoRA once.": "loras 为 {0}，但每个 LoRA 只能列一次。",
  "a LoRA is {0}, but must be a pair like [\"name\", 0.8].": "某个 LoRA 为 {0}，但必须是一对值，例如 [\"name\", 0.8]。",
  "a LoRA's name is {0}, but must have 1 to {1} characters, and no brackets: rename the file.":
    "某个 LoRA 的名称为 {0}，但必须有 1 到 {1} 个字符且不含方括号：请重命名文件。",
  "the strength of LoRA {0} is {1}, but must be a number from -{2} to {3}.": "LoRA {0} 的强度为 {1}，但必须是 -{2} 到 {3} 的数字。",
  "option [{0}] names no LoRA: write the file's name before the strength.": "选项 [{0}] 没有写 LoRA 名称：请在强度之前写文件名。",
};
