// @ts-check
// Chinese of the errors of the forms of a schedule, M to Z, and of its plan, by the English sentence. {0}, {1} ... are the places of values.

/** @type {Record<string, string>} */
export const SCHEDULE_ERRORS = {
  // memflow_core/schedule/memflow_jsonl.py
  "line is {0}, but only a MemFlow JSONL has lines to choose from: leave it out.":
    "line 为 {0}，但只有 MemFlow JSONL 才能选行：请去掉。",
  "line is {0}, but must be from 1 to {1}.": "line 为 {0}，但必须在 1 到 {1} 之间。",
  "switch_frame_indices is {0}, but must be a list of latent frames.": "switch_frame_indices 为 {0}，但必须是潜空间帧的列表。",
  "{0} prompts need {1} switch_frame_indices, one for each but the first, but there are {2}.":
    "{0} 条提示词需要 {1} 个 switch_frame_indices，除第一条外每条一个，但只有 {2} 个。",
  "the text holds {0} stories, one a line: set story on the node, or choose line 1 to {1}.":
    "文本有 {0} 个故事，每行一个：请在节点上设置 story，或选择第 1 到 {1} 行。",
  "prompt {0} of the list, {1}, holds a time that would be words of the prompt: write each as [\"3s\", \"a prompt\"], also where the time is meant as words.":
    "列表的第 {0} 条提示词 {1} 含有会被当作文字的时间：每条请写成 [\"3s\", \"a prompt\"]，即使那时间本来就是文字。",
  // memflow_core/schedule/moments.py
  "the timecode {0} ends in frames, which last as long as the frame rate says: write seconds, as in {1}.5.":
    "时间码 {0} 以帧结尾，其长短取决于帧率：请写秒，例如 {1}.5。",
  "a range from {0} to {1} has no length: its end must be later than its start.": "从 {0} 到 {1} 的时间段没有长度：结束必须晚于开始。",
  // memflow_core/schedule/plan.py
  "the plan has no chunk {0}: it has {1} chunks.": "计划中没有第 {0} 块：它共有 {1} 块。",
  "the schedule has {0}, but memory retrieval is {1}, which {2}: choose another retrieval, or take the pins out.":
    "调度有 {0}，但记忆的检索方式为 {1}，它{2}：请选择别的检索方式，或去掉固定点。",
  "segment {0} ({1}) needs {2} pinned moments at once, but the memory bank holds {3}: make the bank larger, or pin fewer.":
    "分段 {0}（{1}）同时需要 {2} 个固定的瞬间，但记忆库只能容纳 {3} 个：请加大记忆库，或减少固定点。",
  // memflow_core/schedule/records.py
  "an entry has no time or no prompt: write each as {\"time\": \"10s\", \"prompt\": \"...\"}.":
    "有条目没有时间或没有提示词：每条请写成 {\"time\": \"10s\", \"prompt\": \"...\"}。",
  "{0} is missing.": "缺少 {0}。",
  "{0} is {1}, but must be at most {2}.": "{0} 为 {1}，但最大为 {2}。",
  "{0} is {1}, which may count seconds or video frames: write \"{2}s\" or \"frame {3}\".":
    "{0} 为 {1}，可能是秒，也可能是视频帧：请写 \"{2}s\" 或 \"frame {3}\"。",
  "{0} is {1}, but must be a text, or a number with its unit in a text.": "{0} 为 {1}，但必须是文本，或写在文本中的带单位数字。",
  // memflow_core/schedule/scene_lines.py
  "the text holds {0} lines of scenes: for one story, write them in one line with ' | ' between.":
    "文本有 {0} 行场景：若是一个故事，请写成一行，用 ' | ' 分隔。",
  "the text holds {0} lines of scenes: each is a story, so set story on the node, or choose line 1 to {1}.":
    "文本有 {0} 行场景：每行是一个故事，请在节点上设置 story，或选择第 1 到 {1} 行。",
  "scene {0} has {1}: write one there, as in 'a cat sleeps [10s#]'.": "场景 {0} {1}：请写一个，例如 'a cat sleeps [10s#]'。",
  "scene {0} has no prompt: write it before {1}.": "场景 {0} 没有提示词：请写在 {1} 之前。",
  "scene {0} lasts {1} s, but must last more than 0 and at most 1000000.": "场景 {0} 持续 {1} 秒，但必须大于 0，最多 1000000。",
  // memflow_core/schedule/schedule.py
  "{0} is no later than {1} before it: every segment must start later than the one before it.":
    "{0}不晚于它之前的{1}：每个分段都必须晚于前一个开始。",
  "a pin's name is {0}, but must be one word of at most 40 letters, digits, '_' and '-', start with a letter, and be none of {1}.":
    "固定点的名称为 {0}，但必须是一个单词，最多 40 个字母、数字、'_' 和 '-'，以字母开头，且不能是 {1} 之一。",
  "a blend's length is {0}, but must be chunks, at least 1, or seconds above 0.":
    "blend 的时长为 {0}，但必须是至少 1 块，或大于 0 的秒数。",
  "a blend's path is {0}, but must be {1}.": "blend 的路径为 {0}，但必须是 {1}。",
  "a pin's time is {0}, but must be a Time.": "固定点的时间为 {0}，但必须是 Time。",
  "segment start is {0}, but must be a Time.": "分段的开始为 {0}，但必须是 Time。",
  "switch is {0}, but must be one of {1}.": "switch 为 {0}，但必须是 {1} 之一。",
  "seed is {0}, but must be a whole number from 0 to {1}, or left out.": "种子为 {0}，但必须是 0 到 {1} 的整数，或省略。",
  "blend is {0}, but only the switch 'blend' has one, and it must be a Blend.":
    "blend 为 {0}，但只有切换方式 'blend' 才有它，且必须是 Blend。",
  "recall is {0}, but must be a list of pins' names.": "recall 为 {0}，但必须是固定点名称的列表。",
  "recall is {0}, but must name each pin once.": "recall 为 {0}，但每个固定点只能列一次。",
  "collisions is {0}, but must be error or defer.": "collisions 为 {0}，但必须是 error 或 defer。",
  "length is {0}, less than one video frame at {1} fps: make it longer.": "长度为 {0}，在 {1} fps 下不足一个视频帧：请加长。",
  "the schedule is empty: write at least one prompt.": "调度是空的：请至少写一条提示词。",
  "{0} is the first, but the first must start at 0: set it to 0, or put another before it.":
    "{0}是第一条，但第一条必须从 0 开始：请设为 0，或在它之前加一条。",
  "{0} would start at chunk {1} ({2} s), but the story ends at {3} s, after {4} chunks: make the story longer, or start it earlier.":
    "{0}会从第 {1} 块（{2} 秒）开始，但故事在 {3} 秒结束，共 {4} 块：请加长故事，或让它更早开始。",
  "length is {0}, but must be a time above 0 in s, frames, chunks or latent frames.":
    "长度为 {0}，但必须是大于 0 的时间，以 s、frames、chunks 或 latent frames 为单位。",
  "{0} lies after the end of the story at {1} s: pin an earlier moment, or make the story longer.":
    "{0}位于故事在 {1} 秒的结尾之后：请固定更早的瞬间，或加长故事。",
  "the schedule has no length: give one, for example 60s.": "调度没有长度：请写一个，例如 60s。",
  "two pins have the name {0}: every name stands for one moment.": "有两个固定点名为 {0}：每个名称只代表一个瞬间。",
  "{0} has the switch {1}, but a pin has that name too, and both are written [{2}]: give the pin another name.":
    "{0}的切换方式是 {1}，但也有固定点叫这个名称，两者都写作 [{2}]：请给固定点改名。",
  "segment {0} has no prompt: write one, or set a global prompt.": "分段 {0} 没有提示词：请写一条，或设置全局提示词。",
  "a schedule holds {0}s, not a {1}.": "调度由 {0} 组成，而不是 {1}。",
  "{0} asks for [{1}], but the [{2}] prompt {3} forgets all that was made before it: pin a moment after it, or write [cut] in place of [{4}].":
    "{0}要求 [{1}]，但 {3} 的 [{2}] 提示词会忘记此前的一切：请固定它之后的瞬间，或写 [cut] 代替 [{4}]。",
  "{0} asks for [{1}] and starts at {2} s, but {3} is not made by then: pin an earlier moment, or ask for it in a later segment.":
    "{0}要求 [{1}]，并从 {2} 秒开始，但那时 {3} 尚未生成：请固定更早的瞬间，或在更晚的分段中要求它。",
  "{0} and {1} both fall on chunk {2} ({3} s): set them at least {4} s apart, or leave one out.":
    "{0}和{1}都落在第 {2} 块（{3} 秒）：请让它们至少相隔 {4} 秒，或去掉一个。",
  "{0} asks for [{1}], but no pin has that name: add the header 'pin {2}: 3.5s', or take [{3}] out.":
    "{0}要求 [{1}]，但没有叫这个名称的固定点：请加上标头 'pin {2}: 3.5s'，或去掉 [{3}]。",
  // memflow_core/schedule/scope.py
  "prompts is {0}, but must be a list of objects with a text.": "prompts 为 {0}，但必须是带文本的对象列表。",
  "{0} of its texts have a weight other than 0, but prompts are not blended: keep one, for example {1}.":
    "它有 {0} 段文本的权重不为 0，但提示词不会混合：请只留一段，例如 {1}。",
  "temporalInterpolationMethod is {0}, but must be {1}.": "temporalInterpolationMethod 为 {0}，但必须是 {1}。",
  "timeline entry {0} ends at {1} s, but starts at {2} s: make it longer.": "时间轴条目 {0} 在 {1} 秒结束，却从 {2} 秒开始：请加长。",
  "timeline entry {0} starts at {1} s, before entry {2} ends at {3} s: entries must not overlap.":
    "时间轴条目 {0} 从 {1} 秒开始，早于条目 {2} 在 {3} 秒的结尾：条目不能重叠。",
  "timeline entry {0}: {1}": "时间轴条目 {0}：{1}",
  // memflow_core/schedule/stretches.py
  "control {0} runs from {1} to {2}, which holds no video frame: let it end after it starts.":
    "控制 {0} 从 {1} 到 {2}，其中没有任何视频帧：请让结束晚于开始。",
  "{0} has the time {1}, but the length of the story is open: write seconds, or set a length.":
    "{0} 的时间为 {1}，但故事的长度未定：请写秒，或设置长度。",
  "control {0} starts at {1}, where control {2} (from {3}{4}) still counts: let one end where the next one starts.":
    "控制 {0} 从 {1} 开始，而控制 {2}（从 {3}{4}）仍然有效：请让一个在另一个开始处结束。",
  // memflow_core/schedule/subtitles.py
  "line {0}: this cue has no words: write its prompt below it, or take it out.": "第 {0} 行：这条字幕没有文字：请在它下面写提示词，或去掉它。",
  // memflow_core/schedule/table_form.py
  "line {0}: {1} names no columns of times and prompts that are known: call them 'start' and 'prompt'.":
    "第 {0} 行：{1} 中没有可识别的时间列和提示词列：请把它们叫作 'start' 和 'prompt'。",
  "this row has no start: write one, or durations that follow one another.": "此行没有开始时间：请写一个，或写依次相接的时长。",
  "this row has {0} columns, but the prompt stands in column {1}.": "此行有 {0} 列，但提示词在第 {1} 列。",
  "this row has no prompt: write one, or take the row out.": "此行没有提示词：请写一条，或去掉此行。",
  "{0} in column {1} is no time: write 10s, 0:10 or a video frame.": "第 {1} 列的 {0} 不是时间：请写 10s、0:10 或视频帧。",
  "{0} has no unit, and video frames are whole: write seconds as {1}s.": "{0} 没有单位，而视频帧必须是整数：秒请写作 {1}s。",
  "line {0}: the column {1} stands twice: write one prompt a row, or give the columns that are not to be read other names.":
    "第 {0} 行：列 {1} 出现了两次：请每行写一条提示词，或给不该读取的列换个名称。",
  "this row has {0} columns, but only {1} have names: write its prompt {2}.": "此行有 {0} 列，但只有 {1} 列有名称：请把它的提示词写{2}。",
  "{0} in the column of seeds is no whole number.": "种子列中的 {0} 不是整数。",
  "{0} in the column of switches is none: write {1}.": "切换方式列中的 {0} 不是切换方式：请写 {1}。",
  "this row starts at {0} and lasts {1}: write both in one unit.": "此行从 {0} 开始，持续 {1}：请用同一单位写两者。",
  // memflow_core/schedule/text.py
  "line {0}: {1} stands before the first time: write 'global: ...' if it belongs to every prompt, or '0s: ...' if it is the first.":
    "第 {0} 行：{1} 在第一个时间之前：若它属于每条提示词，请写 'global: ...'；若它是第一条，请写 '0s: ...'。",
  "line {0}: {1} is one of several rows with a '|': write each prompt as in '4s: a prompt', or all of them in one line as in 'a | b'.":
    "第 {0} 行：{1} 是含 '|' 的多行之一：每条提示词请写成 '4s: a prompt'，或全部写成一行 'a | b'。",
  "line {0}: {1} stands before the prompt at 0: write 'global: ...' if it belongs to every prompt, or take it out.":
    "第 {0} 行：{1} 在 0 处的提示词之前：若它属于每条提示词，请写 'global: ...'，否则去掉。",
  "prompt {0} of {1} in 'a | b' form is empty: write it, or leave out a '|'.":
    "'a | b' 写法中第 {0} / {1} 条提示词是空的：请写上，或去掉一个 '|'。",
  "{0} starts with an option, but has no time: write it as '10s [cut]: prompt'.":
    "{0} 以选项开头，但没有时间：请写成 '10s [cut]: prompt'。",
  "'{0}:' stands before the first prompt, like every header: move it up, or put the prompt that goes on here in double quotes.":
    "'{0}:' 与所有标头一样要写在第一条提示词之前：请上移；若这是提示词的续行，请放进双引号。",
  // memflow_core/schedule/time.py
  "{0} is no time: write {1}.": "{0} 不是时间：请写 {1}。",
  "{0} is no time: seconds and minutes after a colon must be below 60.": "{0} 不是时间：冒号后的秒和分必须小于 60。",
  "time unit is {0}, but must be one of {1}.": "时间单位为 {0}，但必须是 {1} 之一。",
  "time is {0} ({1}), but must be a number from 0 to {2}.": "时间为 {0}（{1}），但必须是 0 到 {2} 的数字。",
  "time is {0} ({1}), but must be whole: write seconds for anything in between.": "时间为 {0}（{1}），但必须是整数：介于其间的时间请写秒。",
  "{0} looks like a time, but its unit {1} is unknown: write {2}, or put the prompt in double quotes after its time, or the whole text if it holds no time.":
    "{0} 看起来像时间，但它的单位 {1} 未知：请写 {2}，或把时间后的提示词放进双引号；若整段文本不含时间，请把整段放进双引号。",
};
