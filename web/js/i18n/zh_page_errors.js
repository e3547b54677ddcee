// @ts-check
// Chinese of the page's own errors of a schedule, and of what stands in other errors, by the English.

/** @type {Record<string, string>} */
export const PAGE_ERRORS = {
  // web/js/schedule/line.js
  "\"{0}\" has two options of one kind: keep one.": "“{0}”有两个同类选项：请只留一个。",
  "\"{0}\" has an option, but no colon after it: write it as 10s [cut]: prompt.":
    "“{0}”有选项，但其后没有冒号：请写成 10s [cut]: prompt。",
  "\"{0}\" starts with an option after the colon: write it before the colon, as in 10s [cut]: a.":
    "“{0}”在冒号之后以选项开头：请写在冒号之前，例如 10s [cut]: a。",
  // web/js/schedule/options.js
  "\"{0}\" cannot be a pin's name: write a letter, then letters, digits, _ or -, but no option's name.":
    "“{0}”不能作固定点的名称：请写一个字母，再写字母、数字、_ 或 -，且不能是选项的名称。",
  "[{0}] must name a LoRA's file and may add a strength: [lora name 0.8].":
    "[{0}] 必须写明 LoRA 的文件，并可加强度：[lora name 0.8]。",
  "\"{0}\" is no seed: write a whole number from 0 to {1}.": "“{0}”不是种子：请写 0 到 {1} 的整数。",
  "[{0}] must say chunks or seconds: write [blend 6], [blend 3s spherical].":
    "[{0}] 必须写明块数或秒数：请写 [blend 6]、[blend 3s spherical]。",
  // web/js/schedule/text.js
  "The first prompt must start at 0: set it to 0s.": "第一条提示词必须从 0 开始：请设为 0s。",
  "\"{0}\" starts with an option, but has no time: write it as 10s [cut]: prompt.":
    "“{0}”以选项开头，但没有时间：请写成 10s [cut]: prompt。",
  "[{0}] is a second switch: keep one.": "[{0}] 是第二种切换方式：请只留一种。",
  "There is no pin named {0}: set one with a line like pin hero: 3.5s.": "没有名为 {0} 的固定点：请用 pin hero: 3.5s 这样的一行定义。",
  "A pin stands before the first prompt, like every header: move it up.": "固定点与所有标头一样要写在第一条提示词之前：请上移。",
  "Pin {0} is set twice: every name stands for one moment.": "固定点 {0} 设置了两次：每个名称只代表一个瞬间。",
  "{0}: is written twice: keep one.": "{0}: 写了两次：请只留一个。",
  "A length of {0} is none: write 60s.": "{0} 不是有效的长度：请写 60s。",
  "Prompt {0} of {1} is empty: write it, or leave out a \"|\".": "第 {0} / {1} 条提示词是空的：请写上，或去掉一个“|”。",
  "The schedule is empty: write at least one prompt.": "调度是空的：请至少写一条提示词。",
  "Words stand before the prompt at 0: write global: before them, or take them out.":
    "0 处的提示词之前有文字：请在它前面写 global:，或去掉。",
  "Prompt {0} is no later than the one before it: give it a later time.": "提示词 {0} 不晚于它的前一条：请给它更晚的时间。",
  "\"{0}\" holds half a character: type it anew.": "“{0}”含有半个字符：请重新输入。",
  "Line {0}: {1}": "第 {0} 行：{1}",
  // web/js/schedule/time.js
  "A time of {0} is not from 0 to {1}.": "时间 {0} 不在 0 到 {1} 之间。",
  "{0} {1} is no whole number: write seconds for anything in between.": "{0} {1} 不是整数：介于其间的时间请写秒。",
  "{0} looks like a time, but its unit {1} is unknown.": "{0} 看起来像时间，但它的单位 {1} 未知。",
  "{0} is no time: write 10s or 0:10.": "{0} 不是时间：请写 10s 或 0:10。",
  // values of other errors
  "one of {0}": " {0} 之一",
  "segment {0} ({1}, asked for at {2})": "分段 {0}（{1}，要求在 {2} 开始）",
  "the pin at {0}": "{0} 处的固定点",
  "pin {0} at {1}": "{1} 处的固定点 {0}",
  "frame {0}": "第 {0} 帧",
  "chunk {0}": "第 {0} 块",
  "latent frame {0}": "第 {0} 潜空间帧",
  "{0} s": "{0} 秒",
  "at {0} s": "{0} 秒处",
  "keeps no bank to hold them": "没有容纳它们的记忆库",
  "knows no pins": "不支持固定点",
  "no length at its end": "结尾没有时长",
  "several lengths": "有多个时长",
  "; a whole text in double quotes is one prompt": "；整段文本加双引号则是一条提示词",
  " to {0}": " 到 {0}",
  "in double quotes": "在双引号中",
  "with \\| for each | in it": "时把其中每个 | 写作 \\|",
  "a whole number from {0} to {1}": " {0} 到 {1} 的整数",
  "a whole number of at least {0}": "至少为 {0} 的整数",
  "10s, 0:10, 160 (a video frame), 12c (a chunk), 39l (a latent frame) or 50%":
    "10s、0:10、160（视频帧）、12c（块）、39l（潜空间帧）或 50%",
  // web/js/schedule/plan.js
  "Prompt {0} starts before prompt {1}.": "提示词 {0} 早于提示词 {1} 开始。",
  "Prompts {0} and {1} both start with the chunk at {2}: set them {3} s apart.":
    "提示词 {0} 和 {1} 都从 {2} 处的块开始：请让它们相隔 {3} 秒。",
  "Prompt {0} asks for [{1}], a moment from before the [fresh] prompt.": "提示词 {0} 要求 [{1}]，但那是 [fresh] 提示词之前的瞬间。",
  "Prompt {0} asks for [{1}], a moment that is not made by then.": "提示词 {0} 要求 [{1}]，但那个瞬间届时尚未生成。",
  "Prompt {0} is empty: write it.": "提示词 {0} 是空的：请写上。",
  "Prompts start at shares of a story of which only the run knows the length: write their times.":
    "提示词以故事长度的百分比开始，而长度要到运行时才知道：请写上时间。",
  "There is no prompt {0} in the schedule any more.": "调度中已没有提示词 {0}。",
  // web/js/timeline/convert.js
  "This schedule cannot be read.": "无法读取此调度。",
};
